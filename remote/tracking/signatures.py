"""What tells whether a thing has changed: a hash of all its rows in a store.

Another version of the toolkit may hash otherwise: then all counts as changed, is compared once
more, and found to be as it was.
"""

from __future__ import annotations

import hashlib
import sqlite3
from typing import Dict, Iterator, Sequence, Tuple

from remote.tracking import schema
from remote.tracking.store import columns_of, quoted


def signatures(
    database: sqlite3.Connection, tables: Sequence[schema.Table], ids: str = ""
) -> Dict[object, str]:
    """The signature of each id: the sum of the hashes of its rows.

    `tables` are those that the store has, the owner's own first. `ids` is a query for those that
    are asked for, where it isn't all.
    """
    if not tables:
        return {}
    own, column = tables[0].name, f'"{tables[0].owner_column}"'
    owners = f'SELECT CAST({column} AS BLOB), {column} FROM store."{own}"{_where_in(column, ids)}'
    identities = dict(database.execute(owners))
    sums = dict.fromkeys(identities, 0)
    for table in tables:
        # Rows of an owner that doesn't exist aren't anyone's.
        for owner, number in _hashes(database, table, ids):
            if owner in sums:
                sums[owner] += number
    return {identities[owner]: "%016x" % (total % 2**64) for owner, total in sums.items()}


def _where_in(column: str, ids: str) -> str:
    return f" WHERE {column} IN ({ids})" if ids else ""


def _hashes(
    database: sqlite3.Connection, table: schema.Table, ids: str
) -> Iterator[Tuple[bytes, int]]:
    """Hashes of an owner's rows in a table, which add up to one number.

    SQLite spells the rows: Python would make an object of each value.
    """
    unsigned = (*table.unsigned, table.owner_column)
    names = columns_of(database, "store", table.name)
    row = " || ".join(spelled(name) for name in names if name not in unsigned)
    owner = f'"{table.owner_column}"'
    # Rows with a key of their own may be long, and many: one at a time.
    each = "" if table.owner_column in table.key else ", rowid"
    rows = database.execute(
        f"SELECT CAST({owner} AS BLOB), {in_turn(row)}"
        f' FROM store."{table.name}"{_where_in(owner, ids)} GROUP BY {owner}{each}'
    )
    for identity, text in rows:
        digest = hashlib.blake2b(text, digest_size=8, key=table.name.encode())
        yield identity, int.from_bytes(digest.digest(), "big")


def spelled(name: str) -> str:
    """The SQL for a value and its type: quote() alone would end at a zero byte."""
    column = quoted(name)
    text = f"length(CAST({column} AS BLOB)) || ':' || {column}"
    return f"CASE typeof({column}) WHEN 'text' THEN {text} ELSE quote({column}) || ',' END"


def in_turn(row: str) -> str:
    """The SQL for the bytes of all rows of a group, by what spells one."""
    return f"CAST(group_concat({row}, '') AS BLOB)"
