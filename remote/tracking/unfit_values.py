"""Values that SQLite takes and MLflow can't read: text that is no UTF-8, text where a number belongs.

SQLite stores any bytes in any column. One such value fails `search_runs` and MLflow's UI for all of
its experiment, and Python's sqlite3 for who reads the row.
"""

from __future__ import annotations

import sqlite3
from typing import Iterator, List, NamedTuple, Optional, Tuple

from remote.tracking import schema
from remote.tracking.store import columns_of, readable_text

_NUMBERS = ("INT", "FLOAT", "REAL", "BOOLEAN")


class UnfitRow(NamedTuple):
    """A row of `table` with an unfit value, and the columns that hold one."""

    table: schema.Table
    rowid: int
    columns: Tuple[str, ...]
    owner: str
    """The id of what the row belongs to, as text that can be shown."""
    label: str
    """The values of its key, likewise."""


def unfit_rows(database: sqlite3.Connection, source: str, types: str) -> Iterator[UnfitRow]:
    """Those of the database `source`; what each column should hold, the database `types` says."""
    _add_functions(database)
    for table in schema.TABLES:
        columns = _typed(database, table.name, source, types)
        if not set(table.key) <= {name for name, _ in columns}:
            continue
        place = f'{source}."{table.name}"'
        if source != types and table.rule == schema.APPEND:
            # They come in only with what they name, which is fit where its own row is.
            columns = [pair for pair in columns if pair[0] not in table.references]
        if len(table.key) > 1:
            # What many rows repeat is looked at once: most often no row needs to be looked at for it.
            columns = [
                (name, is_number)
                for name, is_number in columns
                if is_number or name not in table.key or _has_unfit(database, name, place)
            ]
        conditions = [_is_unfit(name, is_number) for name, is_number in columns] or ["0"]
        shown = (table.owner_column or table.key[0], *table.key)
        rows = database.execute(
            f"SELECT rowid, {', '.join(_shown(name) for name in shown)}, {', '.join(conditions)}"
            f" FROM {place} WHERE {' OR '.join(conditions)}"
        ).fetchall()
        for rowid, owner, *values in rows:
            key, flags = values[: len(table.key)], values[len(table.key) :]
            unfit = tuple(name for (name, _), flag in zip(columns, flags) if flag)
            yield UnfitRow(table, rowid, unfit, owner, "/".join(key))


def make_readable(database: sqlite3.Connection, row: UnfitRow) -> bool:
    """Spells what is no UTF-8 as escapes, and empties what should be a number; False where the row
    can't hold that (another has this key)."""
    numbers = {name for name, number in _typed(database, row.table.name, "main", "main") if number}
    sets = (f'"{name}" = {"NULL" if name in numbers else _shown(name)}' for name in row.columns)
    query = f'UPDATE OR IGNORE "{row.table.name}" SET {", ".join(sets)} WHERE rowid = ?'
    return database.execute(query, (row.rowid,)).rowcount > 0


def _add_functions(database: sqlite3.Connection) -> None:
    database.create_function("is_utf8", 1, _is_utf8)
    database.create_function("as_text", 1, _as_text)


def _typed(
    database: sqlite3.Connection, table: str, source: str, types: str
) -> List[Tuple[str, bool]]:
    """The columns that both databases have, and whether each holds numbers."""
    theirs = set(columns_of(database, source, table))
    if not theirs:
        return []
    info = database.execute(f'PRAGMA {types}.table_info("{table}")')
    return [
        (name, any(word in declared.upper() for word in _NUMBERS))
        for _, name, declared, *_ in info
        if name in theirs
    ]


def _is_unfit(name: str, is_number: bool) -> str:
    """The condition. SQLite itself passes plain ASCII, which nearly all is: GLOB finds another
    character, the lengths a zero byte, at which GLOB stops."""
    column, data = f'"{name}"', f'CAST("{name}" AS BLOB)'
    if is_number:
        text = f"typeof({column}) = 'text' AND {column} GLOB '*[^-+.0-9eE]*'"
        # All numbers come before all text.
        return f"({column} >= '' AND (typeof({column}) = 'blob' OR {text}))"
    odd = f"{column} GLOB '*[^' || char(1) || '-' || char(127) || ']*'"
    odd += f" OR length({column}) != length({data})"
    return f"(typeof({column}) = 'blob' OR coalesce({odd}, 0) AND NOT is_utf8({data}))"


def _has_unfit(database: sqlite3.Connection, name: str, place: str) -> bool:
    """Whether one of the different texts in a column isn't fit.

    Without the LIMIT, SQLite would look at each before it sorts out those that are the same.
    """
    each = f'SELECT DISTINCT "{name}" FROM {place} LIMIT -1'
    query = f"SELECT EXISTS (SELECT 1 FROM ({each}) WHERE {_is_unfit(name, False)})"
    return bool(database.execute(query).fetchone()[0])


def _shown(name: str) -> str:
    # As a blob: sqlite3 hands text that is no UTF-8 to no function.
    return f'as_text(CAST("{name}" AS BLOB))'


def _is_utf8(data: Optional[bytes]) -> bool:
    try:
        (data or b"").decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _as_text(data: Optional[bytes]) -> Optional[str]:
    return None if data is None else readable_text(data)
