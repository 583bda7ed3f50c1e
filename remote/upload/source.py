"""The delta to be uploaded, read thing by thing."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from remote.errors import StoreError
from remote.tracking import delta, schema

Row = dict[str, Any]
"""A row by the names of its columns, which differ between versions of MLflow."""
_NEEDED = ("meta", "entities", "gone", "experiments", "runs")


@dataclass
class Source:
    """An open delta. `rows` finds a thing's rows by an index of row numbers in a temporary file."""

    database: sqlite3.Connection
    tables: dict[str, list[str]]
    """The columns of each table."""
    _indexed: set[str] = field(default_factory=set)

    def meta(self, key: str) -> Any:
        found = self.database.execute(
            "SELECT value FROM main.meta WHERE key = ?", (key,)
        ).fetchone()
        return json.loads(found["value"]) if found else None

    def entities(self, kind: str) -> list[tuple[str, str]]:
        """The (id, signature) of the things whose rows are here."""
        query = "SELECT id, signature FROM main.entities WHERE kind = ?"
        found = self.database.execute(query, (kind,))
        return [(str(row["id"]), str(row["signature"] or "")) for row in found]

    def gone(self, kind: str) -> list[str]:
        found = self.database.execute("SELECT id FROM main.gone WHERE kind = ?", (kind,))
        return [str(row["id"]) for row in found]

    def all(self, table: str) -> Iterator[Row]:
        if table in self.tables:
            for row in self.database.execute(f'SELECT * FROM main."{table}" ORDER BY rowid'):
                yield row

    def rows(self, table: str, column: str, owner: object) -> Iterator[Row]:
        """The rows whose `column` is `owner`, in the order in which they were written."""
        if column not in self.tables.get(table, ()):
            return
        index = self._index(table, column)
        found = self.database.execute(
            f'SELECT t.* FROM {index} i JOIN main."{table}" t ON t.rowid = i.number'
            " WHERE i.owner = ? ORDER BY i.number",
            (owner,),
        )
        for row in found:
            yield row

    def row(self, table: str, column: str, owner: object) -> Row | None:
        """The first of them."""
        return next(iter(list(self.rows(table, column, owner))), None)

    def row_of(self, kind: schema.Kind, identity: str) -> Row:
        """The one that stands for a thing which the delta has."""
        row = self.row(kind.table, kind.column, identity)
        assert row is not None
        return row

    def owners(self, table: str, column: str) -> list[str]:
        if column not in self.tables.get(table, ()):
            return []
        index = self._index(table, column)
        found = self.database.execute(f"SELECT DISTINCT owner FROM {index} ORDER BY owner")
        return [str(row["owner"]) for row in found]

    def count(self, table: str) -> int:
        if table not in self.tables:
            return 0
        query = f'SELECT count(*) AS n FROM main."{table}"'
        return int(self.database.execute(query).fetchone()["n"])

    def count_of(self, table: str, column: str, owner: object) -> int:
        index = self._index(table, column)
        query = f"SELECT count(*) AS n FROM {index} WHERE owner = ?"
        return int(self.database.execute(query, (owner,)).fetchone()["n"])

    def _index(self, table: str, column: str) -> str:
        name = f'temp."{table} by {column}"'
        if name not in self._indexed:
            self.database.execute(
                f"CREATE TABLE {name} (owner, number INTEGER, PRIMARY KEY (owner, number))"
                " WITHOUT ROWID"
            )
            self.database.execute(
                f'INSERT INTO {name} SELECT "{column}", rowid FROM main."{table}"'
                f' WHERE "{column}" IS NOT NULL ORDER BY "{column}", rowid'
            )
            self._indexed.add(name)
        return name


@contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """Raises StoreError for a file that isn't a delta of this version."""
    if not path.is_file():
        raise StoreError(f"{path} isn't there.")
    url = path.resolve().as_uri() + "?mode=ro"
    with closing(sqlite3.connect(url, uri=True, isolation_level=None)) as database:
        # The delta comes from another machine: nothing in its schema may call functions.
        database.execute("PRAGMA trusted_schema = OFF")
        database.row_factory = _as_dict
        source = Source(database, _tables(database))
        if not all(name in source.tables for name in _NEEDED):
            raise StoreError(f"{path} isn't a delta of an MLflow store.")
        if source.meta("format") != delta.FORMAT:
            raise StoreError(f"{path} was written by another version of the toolkit.")
        yield source


def _as_dict(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> Row:
    return {column[0]: value for column, value in zip(cursor.description, row)}


def _tables(database: sqlite3.Connection) -> dict[str, list[str]]:
    found = database.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'").fetchall()
    wanted = {table.name for table in schema.TABLES} | set(_NEEDED)
    return {
        row["name"]: [
            column["name"]
            for column in database.execute(f'PRAGMA main.table_info("{row["name"]}")')
        ]
        for row in found
        if row["name"] in wanted
    }
