"""Whose rows in a table may have changed since it was read last, told without signing every owner.

Nothing that SQLite keeps says which rows a commit touched: all are read. But they are read in the
order in which they lie, many at once, and hashed in blocks of row numbers, which takes a third of the
time of the signatures. Only who has a row in a block that differs is signed anew.

A row that is gone no longer says whose it was, and SQLite gives its number to the next one. So of each
block it is also known, as a hash, whose each row was. Where that is otherwise among the row numbers
that there were (rows were deleted, or the table was rebuilt), all are signed.
"""

from __future__ import annotations

import hashlib
import marshal
import sqlite3
from contextlib import contextmanager
from typing import Any, Dict, Iterable, Iterator, Mapping, NamedTuple, Sequence

from remote.tracking import schema
from remote.tracking.store import columns_of, readable_text

SIZE = 512
"""Row numbers of a block."""
_AT_ONCE = 64
"""Rows in memory: values may be long."""
_MAX_ROWID = 2**63 - 1


class Comparison(NamedTuple):
    """What became of a table."""

    blocks: Dict[str, Any]
    """For JSON: `end`, the last row's number, and of each block by its number the hashes of its rows
    and of their owners. {} for a table with a text that is no UTF-8: two of those may read alike."""
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
    try:
        with _exact_text(database):
            for number in rows.numbers():
                key, content = str(number), rows.content(number)
                known = new[key] = old.get(key, ["", ""])
                if content == known[0]:
                    continue
                new[key] = [content, rows.owners(number)]
                is_told = is_told and (key not in old or rows.owners(number, end) == known[1])
                if is_told:
                    rows.list_owners(number)
            blocks = {"end": rows.last(), "blocks": new}
        return Comparison(blocks, is_told and old.keys() <= new.keys())
    except sqlite3.OperationalError as error:
        if "UTF-8" in str(error):
            return Comparison({}, False)
        raise


@contextmanager
def _exact_text(database: sqlite3.Connection) -> Iterator[None]:
    """Texts as SQLite itself hands them out, which is fast; bytes stay bytes."""
    database.text_factory = str
    try:
        yield
    finally:
        database.text_factory = readable_text


class _Rows:
    """The rows of a table of the store, by blocks."""

    def __init__(self, database: sqlite3.Connection, table: schema.Table) -> None:
        self._database, self._owner = database, f'"{table.owner_column}"'
        self._table = f'store."{table.name}"'
        names = columns_of(database, "store", table.name)
        signed = ", ".join(f'"{name}"' for name in names if name not in table.unsigned)
        self._content = f"SELECT rowid, {signed} FROM {self._table}"

    def last(self) -> int:
        """The greatest row number."""
        query = f"SELECT coalesce(max(rowid), 0) FROM {self._table}"
        return int(self._database.execute(query).fetchone()[0])

    def numbers(self) -> Iterator[int]:
        """Those of the blocks that have rows, whatever gaps are between them."""
        first, query = -_MAX_ROWID, f"SELECT min(rowid) FROM {self._table} WHERE rowid >= ?"
        while True:
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
        return self._hash(f"SELECT rowid, {self._owner} FROM {self._table}", number, end)

    def list_owners(self, number: int) -> None:
        """Add whose rows are in a block to temp.suspect."""
        insert = "INSERT OR IGNORE INTO temp.suspect"
        self._select(f"{insert} SELECT {self._owner} FROM {self._table}", number)

    def _hash(self, query: str, number: int, end: int = _MAX_ROWID) -> str:
        # With other columns, it is another query.
        digest, rows = hashlib.blake2b(query.encode(), digest_size=8), self._select(
            query, number, end
        )
        for part in iter(lambda: rows.fetchmany(_AT_ONCE), []):
            # In the format of Python 2.4, equal values are always the same bytes.
            digest.update(marshal.dumps(part, 2))
        return digest.hexdigest()

    def _select(self, query: str, number: int, end: int = _MAX_ROWID) -> sqlite3.Cursor:
        """Run a query for the rows of a block."""
        where = "WHERE rowid >= ? AND rowid < ? AND rowid <= ? ORDER BY rowid"
        span: Sequence[int] = (number * SIZE, (number + 1) * SIZE, end)
        return self._database.execute(f"{query} {where}", span)
