"""What the merge changed: how the schema `main` differs from `was`."""

from __future__ import annotations

import sqlite3
from typing import Dict, Iterator, Sequence, Tuple

from remote.tracking.merge.elsewhere.shapes import Shape
from remote.tracking.merge.elsewhere.there import Row

Values = Dict[str, object]


class Changes:
    """How `main` differs from `was`."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self.database = database

    def touched(self, table: str) -> bool:
        query = (
            f'SELECT EXISTS (SELECT 1 FROM main."{table}") OR EXISTS (SELECT 1 FROM was."{table}")'
        )
        return bool(self.database.execute(query).fetchone()[0])

    def gone(self, shape: Shape) -> Iterator[Values]:
        query = f'SELECT {_names(shape.key)} FROM was."{shape.name}" a WHERE NOT EXISTS'
        rows = self.database.execute(f"{query} {_same(shape, 'main')}")
        return (dict(zip(shape.key, row)) for row in rows)

    def new(self, shape: Shape) -> Iterator[Row]:
        columns = tuple(shape.columns)
        query = f'SELECT {_names(columns)} FROM main."{shape.name}" a WHERE NOT EXISTS'
        return self.database.execute(f"{query} {_same(shape, 'was')} ORDER BY rowid")

    def changed(self, shape: Shape) -> Iterator[Tuple[Values, Values]]:
        """(the old row, the new values of the columns that differ), in the order of their making."""
        columns = tuple(shape.columns)
        both = f"{_names(columns, 'b')}, {_names(columns, 'a')}"
        differ = " OR ".join(f'a."{name}" IS NOT b."{name}"' for name in columns)
        on = " AND ".join(f'a."{name}" = b."{name}"' for name in shape.key)
        query = (
            f'SELECT {both} FROM main."{shape.name}" a JOIN was."{shape.name}" b ON {on}'
            f" WHERE {differ} ORDER BY a.rowid"
        )
        for row in self.database.execute(query):
            old, new = dict(zip(columns, row)), dict(zip(columns, row[len(columns) :]))
            yield old, {name: new[name] for name in columns if new[name] != old[name]}


def _names(columns: Sequence[str], row: str = "a") -> str:
    return ", ".join(f'{row}."{column}"' for column in columns)


def _same(shape: Shape, other: str) -> str:
    on = " AND ".join(f'b."{name}" = a."{name}"' for name in shape.key)
    return f'(SELECT 1 FROM {other}."{shape.name}" b WHERE {on})'
