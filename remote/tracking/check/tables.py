"""Asking a store for its columns, and naming them in SQL."""

from __future__ import annotations

import sqlite3


def quoted(name: str) -> str:
    """An identifier as SQL takes it."""
    return '"' + name.replace('"', '""') + '"'


def columns(database: sqlite3.Connection, table: str) -> list[str]:
    """Empty for a table that isn't there."""
    return [row[1] for row in database.execute(f"PRAGMA table_info({quoted(table)})")]


def values(database: sqlite3.Connection, query: str, *parameters: object) -> set[str]:
    """The first column of a query, as texts."""
    return {str(value) for value, *_ in database.execute(query, parameters)}
