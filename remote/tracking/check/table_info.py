"""Asking a store for its tables and columns."""

from __future__ import annotations

import sqlite3


def named(table: str) -> str:
    """An identifier as SQL takes it."""
    return '"' + table.replace('"', '""') + '"'


def tables(database: sqlite3.Connection) -> list[str]:
    found = database.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        " ORDER BY name"
    )
    return [name for (name,) in found]


def columns(database: sqlite3.Connection, table: str) -> list[str]:
    """None for a table that isn't there."""
    return [row[1] for row in database.execute(f"PRAGMA table_info({named(table)})")]


def values(database: sqlite3.Connection, query: str, *given: object) -> set[str]:
    """The first column of a query, as texts."""
    return {str(value) for value, *_ in database.execute(query, given)}
