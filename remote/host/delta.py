"""The agent's answer to a pull: a small SQLite file with what changed in a store.

The file keeps the names and columns of MLflow's tables (ids and paths as they are on the server;
the merge translates them), and adds

    meta(key, value)                values in JSON: format, since, watermarks, alembic, roots,
                                    left_out
    entities(kind, id, signature)   the experiments, runs and models whose rows are in the file
    gone(kind, id)                  those that `known` names and the store no longer has

Rows that can change are sent when their owner's signature differs from the known one; a run that
is RUNNING is always sent, since its artifacts grow. Rows that are only ever added are sent by
rowid, from a watermark with a guard: hard-deleting the newest run lets SQLite reuse its rowids, and
rebuilding a table renumbers them, so the content of the last known row is remembered, and when it
isn't there any more, all rows are sent.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Sequence

from remote.errors import StoreError
from remote.host import schema
from remote.host.store import reading_url, refuse_foreign, unusable

FORMAT = 1
_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE entities (kind TEXT, id, signature TEXT, PRIMARY KEY (kind, id)) WITHOUT ROWID;
CREATE TABLE gone (kind TEXT, id, PRIMARY KEY (kind, id)) WITHOUT ROWID;
"""


def write(
    store: Path, out: Path, known: Mapping[str, Any], *, roots: Sequence[str] = ()
) -> Dict[str, Any]:
    """Writes to `out` what changed in `store` since `known` (see remote.merge.known; {} is all).

    `roots` are the folders that hold the store's `mlruns`, by default the store's own; where a link
    leads is added here.
    Answers with the size in bytes and the numbers of rows. Raises StoreError.
    """
    refuse_foreign(store)
    if known.get("format") != FORMAT:
        known = {}
    if out.exists():
        out.unlink()
    try:
        with closing(sqlite3.connect(str(out), timeout=60, uri=True)) as database:
            counts = _write(database, store, known, _with_real_paths(roots or [str(store.parent)]))
    except sqlite3.Error as error:
        raise unusable(store, error) from error
    return dict(counts, format=FORMAT, bytes=out.stat().st_size)


def _write(
    database: sqlite3.Connection, store: Path, known: Mapping[str, Any], roots: List[str]
) -> Dict[str, int]:
    """All reading is in one transaction: one moment of the store, whoever writes to it."""
    database.isolation_level = None
    database.execute("PRAGMA journal_mode = OFF")
    database.execute("PRAGMA synchronous = OFF")
    database.executescript(_TABLES)
    database.execute("ATTACH ? AS store", (reading_url(store),))
    database.execute("BEGIN")
    tables = [name for name in _source_tables(database)]
    counts = {kind: _send_entities(database, tables, kind, known) for kind in schema.KINDS}
    watermarks = known.get("watermarks", {})
    marks = {
        table.name: _send_new_rows(database, table.name, watermarks.get(table.name, {}))
        for table in schema.append_only()
        if table.name in tables
    }
    counts["metric_rows"] = _count(database, "metrics")
    meta = {"format": FORMAT, "since": known.get("token"), "watermarks": marks, "roots": roots}
    meta["alembic"] = _value(database, "SELECT version_num FROM store.alembic_version")
    meta["left_out"] = [name for name in tables if _is_left_out(database, name)]
    database.executemany(
        "INSERT INTO meta VALUES (?, ?)", [(key, json.dumps(meta[key])) for key in meta]
    )
    database.execute("COMMIT")
    return counts


def _send_entities(
    database: sqlite3.Connection, tables: Sequence[str], kind: str, known: Mapping[str, Any]
) -> int:
    """Copies the changed experiments, runs or models; returns how many."""
    if schema.KINDS[kind].table not in tables:
        return 0
    sent = [table.name for table in schema.three_way(kind) if table.name in tables]
    old = dict(known.get("signatures", {}).get(kind, {}))
    working = _working(database, schema.KINDS[kind])
    for identity, signature in _signatures(database, sent, kind).items():
        if old.pop(str(identity), None) != signature or identity in working:
            row = (kind, identity, signature)
            database.execute("INSERT INTO entities VALUES (?, ?, ?)", row)
    database.executemany("INSERT INTO gone VALUES (?, ?)", [(kind, identity) for identity in old])
    for name in sent:
        _copy_rows(database, name, kind)
    return _count(database, "entities", f"WHERE kind = '{kind}'")


def _copy_rows(database: sqlite3.Connection, table: str, kind: str) -> None:
    """All experiments are sent, changed or not: the merge needs them to place new runs."""
    owner = schema.KINDS[kind].column
    where = f"\"{owner}\" IN (SELECT id FROM entities WHERE kind = '{kind}')"
    if table == schema.KINDS[schema.EXPERIMENT].table:
        where = "1"
    database.execute(f'CREATE TABLE "{table}" AS SELECT * FROM store."{table}" WHERE {where}')


def _signatures(
    database: sqlite3.Connection, tables: Iterable[str], kind: str
) -> Dict[object, str]:
    """The signature of each id: the sum of its rows' hashes, so their order doesn't matter."""
    sums: Dict[object, int] = {}
    owner = schema.KINDS[kind].column
    for position, table in enumerate(tables):
        # The owner's own table comes first; rows of an owner that doesn't exist aren't anyone's.
        for identity, *row in database.execute(f'SELECT "{owner}", * FROM store."{table}"'):
            if position == 0:
                sums[identity] = _hash(table, row)
            elif identity in sums:
                sums[identity] += _hash(table, row)
    return {identity: "%016x" % (total % 2**64) for identity, total in sums.items()}


def _hash(table: str, row: Sequence[object]) -> int:
    digest = hashlib.blake2b(repr((table, row)).encode("utf-8", "replace"), digest_size=8)
    return int.from_bytes(digest.digest(), "big")


def _working(database: sqlite3.Connection, kind: schema.Kind) -> set[object]:
    column, value = kind.working
    if not column:
        return set()
    found = database.execute(
        f'SELECT "{kind.column}" FROM store."{kind.table}" WHERE "{column}" = ?', (value,)
    )
    return {identity for (identity,) in found}


def _send_new_rows(
    database: sqlite3.Connection, table: str, watermark: Mapping[str, Any]
) -> Dict[str, Any]:
    """Copies the rows past the watermark, or all where the guard doesn't hold; the new watermark."""
    past = watermark.get("rowid", 0)
    if watermark.get("guard") != _guard(database, table, past):
        past = 0
    database.execute(
        f'CREATE TABLE "{table}" AS SELECT * FROM store."{table}" WHERE rowid > {int(past)}'
    )
    last = _value(database, f'SELECT max(rowid) FROM store."{table}"') or 0
    return {"rowid": last, "guard": _guard(database, table, last)}


def _guard(database: sqlite3.Connection, table: str, rowid: int) -> str:
    """What row `rowid` says; rowid 0 and a vanished row say nothing."""
    row = database.execute(f'SELECT * FROM store."{table}" WHERE rowid = ?', (rowid,)).fetchone()
    return "" if row is None else "%016x" % _hash(table, row)


def _source_tables(database: sqlite3.Connection) -> List[str]:
    found = database.execute("SELECT name FROM store.sqlite_master WHERE type = 'table'")
    return sorted(name for (name,) in found)


def _is_left_out(database: sqlite3.Connection, name: str) -> bool:
    rows = f'SELECT EXISTS (SELECT 1 FROM store."{name}")'
    return schema.is_left_out(name) and bool(_value(database, rows))


def _with_real_paths(roots: Sequence[str]) -> List[str]:
    """The longest first, so that the nearest root is found first."""
    both = {path for root in roots for path in (os.path.abspath(root), os.path.realpath(root))}
    return sorted(both, key=len, reverse=True)


def _count(database: sqlite3.Connection, table: str, where: str = "") -> int:
    has = database.execute("SELECT 1 FROM main.sqlite_master WHERE name = ?", (table,)).fetchone()
    return int(_value(database, f'SELECT count(*) FROM main."{table}" {where}')) if has else 0


def _value(database: sqlite3.Connection, query: str) -> Any:
    row = database.execute(query).fetchone()
    return row[0] if row else None
