"""Conflicts that were found, until the user has settled them: ours was kept each time."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterable, List, Sequence, Tuple

from remote.errors import StoreError
from remote.tracking import schema
from remote.tracking.merge import base as bases
from remote.tracking.merge import merge_sql
from remote.tracking.merge.local_store import LocalStore, open_local_store
from remote.tracking.merge.summary import Conflict
from remote.tracking.store import columns_of


@dataclass(frozen=True)
class OpenConflict:
    """A conflict that is not settled, and the values of its row's key."""

    conflict: Conflict
    key: Tuple[Any, ...]


def note(
    database: sqlite3.Connection,
    table: str,
    key: Sequence[object],
    column: str,
    theirs: object = None,
) -> None:
    """Remembers a conflict. What is there is the base's row; `theirs` where that says it not."""
    database.execute(
        "INSERT OR REPLACE INTO base.conflict VALUES (?, ?, ?, ?)",
        (table, json.dumps(list(key)), column, theirs),
    )


def open_conflicts(base: Path, store: Path) -> List[OpenConflict]:
    """Those in which the two sides still differ. Raises StoreError."""
    if not base.is_file():
        return []
    with closing(open_local_store(store)) as local_store:
        if not _attach(local_store, base):
            return []
        with local_store.transaction():
            return _listed(local_store)


def resolve(base: Path, store: Path, chosen: Iterable[OpenConflict], *, theirs: bool) -> None:
    """Takes theirs (with the columns that belong to it), or keeps ours for good.

    Raises StoreError where theirs can't be taken (a name that another experiment has).
    """
    try:
        with closing(open_local_store(store)) as local_store:
            if not _attach(local_store, base):
                return
            with local_store.transaction():
                for open_conflict in chosen:
                    if theirs:
                        _take(local_store, open_conflict)
                    _forget(local_store, open_conflict)
    except sqlite3.IntegrityError as error:
        raise StoreError(f"Theirs can't be taken: {error}.", "Nothing was changed.") from error


def _attach(local_store: LocalStore, base: Path) -> bool:
    if not bases.make_usable(base, bases.store_identity(local_store.database)):
        return False
    local_store.database.execute("ATTACH ? AS base", (base.resolve().as_uri() + "?mode=rw",))
    return bool(columns_of(local_store.database, "base", "conflict"))


def _listed(local_store: LocalStore) -> List[OpenConflict]:
    conflicts = []
    rows = local_store.database.execute(
        'SELECT "table", key, column, theirs FROM base.conflict'
    ).fetchall()
    for name, key, column, theirs in rows:
        table, values = schema.table_of(name), tuple(json.loads(key))
        mine = _value(local_store, "main", table, column, values)
        other = (
            (theirs,) if theirs is not None else _value(local_store, "base", table, column, values)
        )
        if mine and mine != other:
            conflict = Conflict.of(table, values, column, mine[0], other[0] if other else None)
            conflicts.append(OpenConflict(conflict, values))
    return conflicts


def _value(
    local_store: LocalStore, where: str, table: schema.Table, column: str, key: Sequence[Any]
) -> Tuple[Any, ...]:
    row = local_store.database.execute(
        f'SELECT "{column}" FROM {where}."{table.name}" WHERE {_is(table)}', key
    ).fetchone()
    return tuple(row) if row else ()


def _is(table: schema.Table) -> str:
    return " AND ".join(f'"{column}" = ?' for column in table.key)


def _take(local_store: LocalStore, open_conflict: OpenConflict) -> None:
    """The whole group of columns, as it is in the base."""
    conflict, key = open_conflict.conflict, open_conflict.key
    table = schema.table_of(conflict.table)
    run = local_store.database.execute
    if table.name == "experiments" and conflict.column == "name":
        run(
            "UPDATE main.experiments SET name = ? WHERE experiment_id = ?",
            (conflict.theirs, key[0]),
        )
        return
    row = f'FROM base."{table.name}" WHERE {_is(table)}'
    if run(f"SELECT 1 {row}", key).fetchone() is None:
        run(f'DELETE FROM main."{table.name}" WHERE {_is(table)}', key)
        return
    columns = columns_of(local_store.database, "main", table.name)
    (group,) = (
        group for group in merge_sql.groups(table, columns) if conflict.column in group.columns
    )
    names = ", ".join(f'"{column}"' for column in group.columns)
    run(
        f'UPDATE main."{table.name}" SET ({names}) = (SELECT {names} {row}) WHERE {_is(table)}',
        (*key, *key),
    )


def _forget(local_store: LocalStore, open_conflict: OpenConflict) -> None:
    local_store.database.execute(
        'DELETE FROM base.conflict WHERE "table" = ? AND key = ? AND column = ?',
        (
            open_conflict.conflict.table,
            json.dumps(list(open_conflict.key)),
            open_conflict.conflict.column,
        ),
    )
