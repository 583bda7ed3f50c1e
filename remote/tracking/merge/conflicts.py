"""Conflicts that were found, until the user has settled them: ours was kept each time."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any, Iterable, List, NamedTuple, Sequence, Tuple

from remote.errors import StoreError
from remote.tracking import schema
from remote.tracking.merge import merge_sql
from remote.tracking.merge.merge_session import Conflict, store_with_base
from remote.tracking.store import columns_of


class OpenConflict(NamedTuple):
    """A conflict that is not settled, and the values of its row's key."""

    conflict: Conflict
    key: Tuple[Any, ...]


def open_conflicts(base: Path, store: Path) -> List[OpenConflict]:
    """Those in which the two sides still differ. Raises StoreError."""
    differing: List[OpenConflict] = []
    with store_with_base(store, base) as database:
        if database is None:
            return differing
        query = 'SELECT "table", key, column, theirs FROM base.conflict'
        for name, json_key, column, noted in database.execute(query).fetchall():
            table, key = schema.table_of(name), tuple(json.loads(json_key))
            ours = _row(database, "main", table, key, [column])
            theirs = _row(database, "base", table, key, [column]) if noted is None else (noted,)
            if ours and ours != theirs:
                conflict = Conflict.of(table, key, column, ours[0], theirs[0] if theirs else None)
                differing.append(OpenConflict(conflict, key))
    return differing


def resolve(base: Path, store: Path, chosen: Iterable[OpenConflict], *, theirs: bool) -> None:
    """Takes theirs (with the columns that belong to it), or keeps ours for good.

    Raises StoreError where theirs can't be taken (a name that another experiment has).
    """
    with store_with_base(store, base) as database:
        if database is None:
            return
        try:
            for conflict, key in chosen:
                if theirs:
                    _take(database, conflict, key)
                database.execute(
                    'DELETE FROM base.conflict WHERE "table" = ? AND key = ? AND column = ?',
                    (conflict.table, json.dumps(list(key)), conflict.column),
                )
        except sqlite3.IntegrityError as error:
            raise StoreError(
                f"Theirs can't be taken: {error}.",
                "Nothing was changed. Rename here what has that name, then repeat the command.",
            ) from error


def _take(database: sqlite3.Connection, conflict: Conflict, key: Sequence[Any]) -> None:
    """The whole group of columns, as it is in the base."""
    table = schema.table_of(conflict.table)
    columns: Sequence[str] = [conflict.column]
    theirs: Sequence[Any] = [conflict.theirs]
    if (table.name, conflict.column) != ("experiments", "name"):
        own_columns = columns_of(database, "main", table.name)
        (columns,) = (
            group.columns
            for group in merge_sql.groups(table, own_columns)
            if conflict.column in group.columns
        )
        theirs = _row(database, "base", table, key, columns)
    if theirs:
        values = ", ".join(f'"{column}" = ?' for column in columns)
        database.execute(
            f'UPDATE main."{table.name}" SET {values} WHERE {_is(table)}', (*theirs, *key)
        )
    else:
        database.execute(f'DELETE FROM main."{table.name}" WHERE {_is(table)}', key)


def _row(
    database: sqlite3.Connection,
    where: str,
    table: schema.Table,
    key: Sequence[Any],
    columns: Sequence[str],
) -> Tuple[Any, ...]:
    """These columns of a row; () where it isn't there."""
    query = f'SELECT {merge_sql.names(columns)} FROM {where}."{table.name}" WHERE {_is(table)}'
    return tuple(database.execute(query, key).fetchone() or ())


def _is(table: schema.Table) -> str:
    return " AND ".join(f'"{column}" = ?' for column in table.key)
