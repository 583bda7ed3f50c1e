"""A SQLite file that is only read."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Iterator, Sequence

from remote.tracking import schema
from remote.tracking.merge.elsewhere.scratch import Scratch
from remote.tracking.merge.elsewhere.there import Row, There, parts
from remote.tracking.merge.local_store import Ours
from remote.tracking.store import connect_read_only

_MARKS = 900
"""SQLite's limit on question marks was 999."""


def open_for_reading(file: Path) -> Ours:
    """The store for a dry run."""
    return Scratch(_File(connect_read_only(file)))


class _File(There):
    def __init__(self, database: sqlite3.Connection) -> None:
        self.database = database
        self.tables = {}
        for table in schema.TABLES:
            found = database.execute(f'PRAGMA table_info("{table.name}")')
            names = [row[1] for row in found]
            if names:
                self.tables[table.name] = names

    def statements(self, where: str) -> Iterator[str]:
        """The store's own statements: with what it computes, and what it refuses."""
        found = self.database.execute(
            "SELECT tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL AND (type = 'table'"
            " OR type = 'index' AND sql LIKE 'CREATE UNIQUE%') ORDER BY type DESC"
        )
        return (sql for name, sql in found if name in self.tables)

    def rows(self, table: str, column: str, ids: Sequence[object], *, lock: bool) -> Iterator[Row]:
        for part in parts(ids, _MARKS):
            marks = ", ".join("?" * len(part))
            yield from self._read(table, f'WHERE "{column}" IN ({marks})', part)

    def all_rows(self, table: str, *, lock: bool) -> Iterator[Row]:
        return self._read(table, "", ())

    def same_rows(self, table: str, key: Sequence[str], values: Sequence[Row]) -> Iterator[Row]:
        names = ", ".join(f'"{name}"' for name in key)
        row = f"({', '.join('?' * len(key))})"
        for part in parts(values, _MARKS // len(key)):
            where = f"WHERE ({names}) IN (VALUES {', '.join([row] * len(part))})"
            yield from self._read(table, where, [value for each in part for value in each])

    def present(self, table: str, column: str, ids: Sequence[object]) -> Iterator[object]:
        query = f'SELECT EXISTS (SELECT 1 FROM "{table}" WHERE "{column}" = ?)'
        return (each for each in ids if self.database.execute(query, (each,)).fetchone()[0])

    def count(self, table: str, column: str, ids: Sequence[object]) -> int:
        query = f'SELECT count(*) FROM "{table}" WHERE "{column}" = ?'
        return sum(self.database.execute(query, (each,)).fetchone()[0] for each in ids)

    def close(self) -> None:
        self.database.close()

    def _read(self, table: str, where: str, values: Sequence[object]) -> Iterator[Row]:
        names = ", ".join(f'"{name}"' for name in self.tables[table])
        return iter(self.database.execute(f'SELECT {names} FROM "{table}" {where}', values))
