"""Whose rows in a table may have changed since it was read last, told without signing every owner.

Nothing that SQLite keeps says which rows a commit touched: all are read. But they are read in the
order in which they lie, and hashed in blocks of row numbers, each of which SQLite spells as one JSON:
it takes a fifth of the time of the signatures. Only who has a row in a block that differs is signed
anew.

A row that is gone no longer says whose it was, and SQLite gives its number to the next one. So of each
block it is also known, as a hash, whose each row was. Where that is otherwise among the row numbers
that there were (rows were deleted, or the table was rebuilt), all are signed.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
from typing import Any, Dict, Iterable, Iterator, Mapping, NamedTuple, Sequence, Tuple

from remote.tracking import schema
from remote.tracking.signatures import in_turn, spelled
from remote.tracking.store import quoted

SIZE = 512
"""Row numbers of a block."""
_AT_ONCE = 8
"""Rows in memory where a value may be of any length."""
_MAX_ROWID = 2**63 - 1

#: Declared types of columns: of texts, of whole numbers (datatype3.html, 3.1), and of what is short.
_TEXT, _WHOLE = re.compile("CHAR|CLOB|TEXT"), re.compile("INT|BOOL")
_SHORT = re.compile(r"CHAR.*\(\d+\)|INT|BOOL|FLOA|REAL|DOUB")


class Comparison(NamedTuple):
    """What became of a table."""

    blocks: Dict[str, Any]
    """For JSON: `end`, the last row's number, and of each block by its number the hashes of its rows
    and of their owners."""
    is_told: bool
    """Whether temp.suspect has all whose rows may have changed."""


class Suspects(NamedTuple):
    """Those whose rows may have changed."""

    query: str
    """For their ids; empty where all may."""
    blocks: Dict[str, Any]
    """Of each table, as it is."""


def suspects(
    database: sqlite3.Connection,
    tables: Sequence[schema.Table],
    before: Mapping[str, Any],
    others: Iterable[object],
) -> Suspects:
    """The owners of rows that may have changed since the tables had the blocks `before`, and `others`."""
    database.execute("CREATE TEMP TABLE IF NOT EXISTS suspect (id PRIMARY KEY) WITHOUT ROWID")
    database.execute("DELETE FROM temp.suspect")
    rows = ((identity,) for identity in others)
    database.executemany("INSERT OR IGNORE INTO temp.suspect VALUES (?)", rows)
    found = {table.name: compare(database, table, before.get(table.name) or {}) for table in tables}
    is_told = all(comparison.is_told for comparison in found.values())
    blocks = {name: comparison.blocks for name, comparison in found.items()}
    return Suspects("SELECT id FROM temp.suspect" if is_told else "", blocks)


def compare(
    database: sqlite3.Connection, table: schema.Table, before: Mapping[str, Any]
) -> Comparison:
    """Compare a table with its `blocks` of another time; {} knows nothing."""
    rows, is_told = _Rows(database, table), bool(before)
    old, end, new = before.get("blocks", {}), before.get("end", 0), {}
    for number in rows.numbers():
        key, content = str(number), rows.content(number)
        known = new[key] = old.get(key, ["", ""])
        if content == known[0]:
            continue
        new[key] = [content, rows.owners(number)]
        is_told = is_told and (key not in old or rows.owners(number, end) == known[1])
        if is_told:
            rows.list_owners(number)
    return Comparison({"end": rows.last(), "blocks": new}, is_told and old.keys() <= new.keys())


class _Ambiguous(Exception):
    """Other values might have the same JSON."""


class _Rows:
    """The rows of a table of the store, by blocks."""

    def __init__(self, database: sqlite3.Connection, table: schema.Table) -> None:
        self._database, self._owner = database, table.owner_column
        self._table = f'store."{table.name}"'
        declared = database.execute(f'PRAGMA store.table_info("{table.name}")').fetchall()
        self._types = {row[1]: row[2].upper() for row in declared if row[1] not in table.unsigned}
        is_short = all(map(_SHORT.search, self._types.values()))
        self._at_once = SIZE if is_short else _AT_ONCE
        self._content = self._columns(list(self._types))
        self._whose = self._columns([self._owner], "rowid")

    def last(self) -> int:
        """The greatest row number."""
        query = f"SELECT coalesce(max(rowid), 0) FROM {self._table}"
        return int(self._database.execute(query).fetchone()[0])

    def numbers(self) -> Iterator[int]:
        """Those of the blocks that have rows, whatever gaps are between them."""
        first, query = -_MAX_ROWID - 1, f"SELECT min(rowid) FROM {self._table} WHERE rowid >= ?"
        while first <= _MAX_ROWID:
            (rowid,) = self._database.execute(query, (first,)).fetchone()
            if rowid is None:
                return
            yield rowid // SIZE
            first = (rowid // SIZE + 1) * SIZE

    def content(self, number: int) -> str:
        """A hash of all rows of a block."""
        return self._hash(self._content, number)

    def owners(self, number: int, end: int = _MAX_ROWID) -> str:
        """A hash of whose each row of a block is, up to row `end`."""
        return self._hash(self._whose, number, end)

    def list_owners(self, number: int) -> None:
        """Add whose rows are in a block to temp.suspect."""
        self._database.execute(
            f'INSERT OR IGNORE INTO temp.suspect SELECT "{self._owner}" FROM {self._table}'
            " WHERE rowid BETWEEN ? AND ?",
            (number * SIZE, (number + 1) * SIZE - 1),
        )

    def _columns(self, names: Sequence[str], *more: str) -> Tuple[str, str]:
        """The SQL for these columns, and for `more` that are whole: as JSON, and spelled.

        Beside the JSON there are types, which are neither integer nor null where the JSON may be that
        of other numbers, too: it has but fifteen digits of what isn't whole.
        """
        values, types = list(more), []
        for name in names:
            is_whole = _WHOLE.search(self._types[name])
            is_plain = is_whole or _TEXT.search(self._types[name])
            values.append(quoted(name) if is_plain else _number(name))
            types += [f"typeof(sum({quoted(name)}))"] if is_whole else []
        as_json = f"json_array({', '.join(values)})"
        as_spelled = " || ".join(map(spelled, [*more, *names]))
        return ", ".join([in_turn(as_json), *types]), in_turn(as_spelled)

    def _hash(self, columns: Tuple[str, str], number: int, end: int = _MAX_ROWID) -> str:
        """Of columns of a block: other values have another."""
        try:
            return self._digest(columns[0], number, end)
        except (sqlite3.OperationalError, _Ambiguous):
            # Bytes have no JSON, and some SQLites know none. This takes four times as long. (From 3.45
            # on, the bytes of a JSONB have that of their text: to look for one is not worth its time.)
            return self._digest(columns[1], number, end)

    def _digest(self, columns: str, number: int, end: int) -> str:
        # With other columns, it is another query.
        query = f"SELECT {columns} FROM {self._table} NOT INDEXED WHERE rowid BETWEEN ? AND ?"
        digest = hashlib.blake2b(query.encode(), digest_size=8)
        last = min((number + 1) * SIZE - 1, end)
        for start in range(number * SIZE, last + 1, self._at_once):
            span = (start, min(start + self._at_once - 1, last))
            rows, *types = self._database.execute(query, span).fetchone()
            if not {"integer", "null"}.issuperset(types):
                raise _Ambiguous
            digest.update(rows or b"")
        return digest.hexdigest()


def _number(name: str) -> str:
    """The SQL for a value, which is quick where it is a number: those come before all texts."""
    column = quoted(name)
    return f"CASE WHEN {column} < '' THEN quote({column}) ELSE {spelled(name)} END"
