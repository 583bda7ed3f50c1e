"""The agent's answer to a pull: a small SQLite file with what changed in a store.

The file keeps the names and columns of MLflow's tables (ids and paths as they are on the server;
the merge translates them), and adds

    meta(key, value)                values in JSON: format, since, watermarks, alembic, roots,
                                    left_out, mark, places
    entities(kind, id, signature)   the things (schema.KINDS) whose rows are in the file
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
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

from remote.tracking import schema
from remote.tracking.store import reading_url, refuse_foreign, unusable

FORMAT = 2
PART = 200_000
"""Rows read at once from a long table: about a quarter of a second, in which nobody can write."""
_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE entities (kind TEXT, id, signature TEXT, PRIMARY KEY (kind, id)) WITHOUT ROWID;
CREATE TABLE gone (kind TEXT, id, PRIMARY KEY (kind, id)) WITHOUT ROWID;
"""


def write(
    store: Path,
    out: Path,
    known: Mapping[str, Any],
    *,
    roots: Sequence[str] = (),
    registry: bool = False,
    chosen: Optional[Mapping[str, Sequence[str]]] = None,
) -> Dict[str, Any]:
    """Writes to `out` what changed in `store` since `known` (see remote.tracking.merge.known; {} is all).

    `roots` are the folders that hold the store's `mlruns`, by default the store's own; where a link
    leads is added here. With `registry` the registered models are looked at too. `chosen` limits
    the delta to the ids of some kinds, and nothing of the kinds that it doesn't name.
    Answers with the size in bytes and the numbers of rows. Raises StoreError.
    """
    refuse_foreign(store)
    if known.get("format") != FORMAT:
        known = {}
    try:
        with new_delta(out) as database:
            mark = _mark(store, registry)
            database.execute("ATTACH ? AS store", (reading_url(store),))
            asked = _Asked(known, registry, chosen, mark)
            counts = _write(database, asked, with_real_paths(roots or [str(store.parent)]))
    except sqlite3.Error as error:
        raise unusable(store, error) from error
    return dict(counts, format=FORMAT, bytes=out.stat().st_size)


@contextmanager
def new_delta(out: Path) -> Iterator[sqlite3.Connection]:
    """An empty delta in `out`, in place of what was there; whoever writes begins transactions."""
    if out.exists():
        out.unlink()
    with closing(sqlite3.connect(str(out), timeout=60, uri=True)) as database:
        database.isolation_level = None
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")
        database.executescript(_TABLES)
        yield database


def signatures_of(store: Path, chosen: Mapping[str, Sequence[str]]) -> Dict[str, Dict[str, str]]:
    """The signatures, as `write` gives them, of those chosen ids of each kind that `store` has."""
    refuse_foreign(store)
    signatures: Dict[str, Dict[str, str]] = {}
    try:
        with closing(sqlite3.connect("", timeout=60, uri=True)) as database:
            database.isolation_level = None
            database.execute("CREATE TABLE wanted (id PRIMARY KEY) WITHOUT ROWID")
            database.execute("ATTACH ? AS store", (reading_url(store),))
            database.execute("BEGIN")
            tables = _source_tables(database)
            for kind, ids in chosen.items():
                database.execute("DELETE FROM wanted")
                database.executemany("INSERT OR IGNORE INTO wanted VALUES (?)", ((i,) for i in ids))
                signed = [table for table in schema.rows_of(kind) if table.name in tables]
                sums = _signatures(database, signed, "SELECT id FROM wanted")
                signatures[kind] = {str(identity): sums[identity] for identity in sums}
    except sqlite3.Error as error:
        raise unusable(store, error) from error
    return signatures


@dataclass(frozen=True)
class _Asked:
    known: Mapping[str, Any]
    registry: bool
    chosen: Optional[Mapping[str, Sequence[str]]]
    mark: Optional[str]

    @property
    def nothing_new(self) -> bool:
        """The file is the very one that was read last, so no row of it needs to be looked at."""
        return self.mark is not None and self.known.get("mark") == self.mark


def _write(database: sqlite3.Connection, asked: _Asked, roots: List[str]) -> Dict[str, int]:
    """One moment of the store, whoever writes to it.

    Reading is one transaction, but for the rows of the long tables: those are copied up to where
    they ended at that moment, in parts, so that a writer never waits long.
    """
    database.execute("BEGIN")
    tables = _source_tables(database)
    counts = {}
    for kind in schema.KINDS.values():
        if asked.registry or not kind.optional:
            counts[kind.name] = _send_entities(database, tables, kind, asked)
    pieces = [
        _Piece.of(database, table, asked.known.get("watermarks", {}).get(table.name, {}))
        for table in schema.append_only()
        if table.name in tables
    ]
    meta: Dict[str, Any] = {"format": FORMAT, "since": asked.known.get("token"), "roots": roots}
    meta["watermarks"] = {piece.table.name: piece.mark for piece in pieces}
    meta["alembic"] = _value(database, "SELECT version_num FROM store.alembic_version")
    meta["left_out"] = [name for name in tables if _is_left_out(database, name, asked)]
    meta["mark"] = asked.mark
    database.execute("COMMIT")
    for piece in pieces:
        piece.copy(database, _of_chosen(piece.table, asked.chosen))
    # Every store has metrics: whoever lacks them isn't one.
    counts["metric_rows"] = int(_value(database, "SELECT count(*) FROM main.metrics"))
    # Last: without it, the file is half a delta, which nobody takes; with it, nothing can fail.
    database.execute("BEGIN")
    database.executemany(
        "INSERT INTO meta VALUES (?, ?)", [(key, json.dumps(meta[key])) for key in meta]
    )
    database.execute("COMMIT")
    return counts


def _mark(store: Path, registry: bool) -> Optional[str]:
    """What changes with each commit to the file, None for a store in WAL mode.

    Bytes 24 to 27 of the header are the file change counter, byte 18 is 2 in WAL mode
    (https://www.sqlite.org/fileformat2.html#the_database_header).
    """
    with open(str(store), "rb") as file:
        header = file.read(100)
        status = os.fstat(file.fileno())
    if len(header) < 100 or header[18] == 2 or Path(f"{store}-wal").exists():
        return None
    counter = header[24:28].hex()
    return f"{status.st_ino}:{status.st_size}:{status.st_mtime_ns}:{counter}:{int(registry)}"


def _send_entities(
    database: sqlite3.Connection, tables: Sequence[str], kind: schema.Kind, asked: _Asked
) -> int:
    """Copies the changed things of one kind; returns how many."""
    if kind.table not in tables:
        return 0
    sent = [table for table in schema.rows_of(kind.name) if table.name in tables]
    changed: Dict[Any, str] = {}
    gone: Iterable[str] = ()
    if asked.chosen is not None:
        changed = dict.fromkeys(asked.chosen.get(kind.name, ()), "")
    elif asked.nothing_new:
        old = asked.known["signatures"].get(kind.name, {})
        changed = {identity: old.get(identity, "") for identity in _working(database, kind)}
    else:
        changed, gone = _changed(database, sent, kind, asked.known)
    database.executemany(
        "INSERT INTO entities VALUES (?, ?, ?)",
        [(kind.name, identity, signature) for identity, signature in changed.items()],
    )
    database.executemany(
        "INSERT INTO gone VALUES (?, ?)", [(kind.name, identity) for identity in gone]
    )
    for table in sent:
        _copy_rows(database, table)
    return len(changed)


def _changed(
    database: sqlite3.Connection,
    tables: Sequence[schema.Table],
    kind: schema.Kind,
    known: Mapping[str, Any],
) -> Tuple[Dict[Any, str], Iterable[str]]:
    """The signatures of what is new or changed, and the ids of what is gone."""
    old = dict(known.get("signatures", {}).get(kind.name, {}))
    working = _working(database, kind)
    changed = {}
    for identity, signature in _signatures(database, tables).items():
        if old.pop(str(identity), None) != signature or identity in working:
            changed[identity] = signature
    return changed, old


def _copy_rows(database: sqlite3.Connection, table: schema.Table) -> None:
    """All of experiments is sent, changed or not: one that is gone here may be made anew."""
    ids = f"SELECT id FROM entities WHERE kind = '{table.owner}'"
    where = f'"{table.owner_column}" IN ({ids})'
    if table.owner == schema.EXPERIMENT:
        where = "1"
    name = table.name
    database.execute(f'CREATE TABLE "{name}" AS SELECT * FROM store."{name}" WHERE {where}')


def _signatures(
    database: sqlite3.Connection, tables: Sequence[schema.Table], ids: str = ""
) -> Dict[object, str]:
    """The signature of each id: the sum of its rows' hashes, so their order doesn't matter.

    `ids` is a query for those that are asked for, where it isn't all.
    """
    sums: Dict[object, int] = {}
    for position, table in enumerate(tables):
        where = f' WHERE "{table.owner_column}" IN ({ids})' if ids else ""
        rows = database.execute(
            f'SELECT "{table.owner_column}", {_signed(database, table)}'
            f' FROM store."{table.name}"{where}'
        )
        # The owner's own table comes first; rows of an owner that doesn't exist aren't anyone's.
        for identity, *row in rows:
            if position == 0:
                sums[identity] = _hash(table.name, row)
            elif identity in sums:
                sums[identity] += _hash(table.name, row)
    return {identity: "%016x" % (total % 2**64) for identity, total in sums.items()}


def _signed(database: sqlite3.Connection, table: schema.Table) -> str:
    names = [row[1] for row in database.execute(f'PRAGMA store.table_info("{table.name}")')]
    return ", ".join(f'"{name}"' for name in names if name not in table.unsigned)


def _hash(table: str, row: Sequence[object]) -> int:
    digest = hashlib.blake2b(repr((table, row)).encode("utf-8", "replace"), digest_size=8)
    return int.from_bytes(digest.digest(), "big")


def _working(database: sqlite3.Connection, kind: schema.Kind) -> Set[Any]:
    column, value = kind.working
    if not column:
        return set()
    rows = database.execute(
        f'SELECT "{kind.column}" FROM store."{kind.table}" WHERE "{column}" = ?', (value,)
    )
    return {identity for (identity,) in rows}


@dataclass(frozen=True)
class _Piece:
    """The new rows of an append-only table: those past `start`, up to the last."""

    table: schema.Table
    start: int
    mark: Dict[str, Any]

    @classmethod
    def of(
        cls, database: sqlite3.Connection, table: schema.Table, watermark: Mapping[str, Any]
    ) -> _Piece:
        """All rows, where the guard doesn't hold. Makes the table, still empty."""
        start = int(watermark.get("rowid", 0))
        if watermark.get("guard") != _guard(database, table.name, start):
            start = 0
        last = _value(database, f'SELECT max(rowid) FROM store."{table.name}"') or 0
        database.execute(
            f'CREATE TABLE "{table.name}" AS SELECT * FROM store."{table.name}" WHERE 0'
        )
        return cls(table, start, {"rowid": last, "guard": _guard(database, table.name, last)})

    def copy(self, database: sqlite3.Connection, where: str) -> None:
        """Rebuilt meanwhile, the rows have other numbers: then all of them, at one go."""
        name, last = self.table.name, int(self.mark["rowid"])
        insert = f'INSERT INTO "{name}" SELECT * FROM store."{name}" WHERE {where}'
        for first in range(self.start, last, PART):
            database.execute(f"{insert} AND rowid > {first} AND rowid <= {min(first + PART, last)}")
        if _guard(database, name, last) != self.mark["guard"]:
            database.execute(f'DELETE FROM "{name}"')
            database.execute(insert)


def _of_chosen(table: schema.Table, chosen: Optional[Mapping[str, Sequence[str]]]) -> str:
    """The condition that a row is of the chosen things (those in `entities`)."""
    if chosen is None:
        return "1"
    if table.name in schema.ENDS:
        ends = (
            f"({end}_type, {end}_id) IN (SELECT t.type, e.id FROM entities e JOIN"
            f" ({_types(table.name)}) t ON t.kind = e.kind)"
            for end in ("source", "destination")
        )
        return f"({' OR '.join(ends)})"
    if not table.owner:
        return "input_uuid IN (SELECT input_uuid FROM inputs)"
    ids = f"SELECT id FROM entities WHERE kind = '{table.owner}'"
    return f'"{table.owner_column}" IN ({ids})'


def _types(table: str) -> str:
    return " UNION ALL ".join(
        f"SELECT '{name}' AS type, '{kind}' AS kind" for name, kind in schema.ENDS[table].items()
    )


def _guard(database: sqlite3.Connection, table: str, rowid: int) -> str:
    """What row `rowid` says; rowid 0 and a vanished row say nothing."""
    row = database.execute(f'SELECT * FROM store."{table}" WHERE rowid = ?', (rowid,)).fetchone()
    return "" if row is None else f"{_hash(table, row):016x}"


def _source_tables(database: sqlite3.Connection) -> List[str]:
    rows = database.execute("SELECT name FROM store.sqlite_master WHERE type = 'table'")
    return sorted(name for (name,) in rows)


def _is_left_out(database: sqlite3.Connection, name: str, asked: _Asked) -> bool:
    """True for a table with rows that nothing here knows, or that wasn't asked for."""
    optional = {kind.table for kind in schema.KINDS.values() if kind.optional}
    if not schema.is_left_out(name) and (asked.registry or name not in optional):
        return False
    return bool(_value(database, f'SELECT EXISTS (SELECT 1 FROM store."{name}")'))


def with_real_paths(roots: Sequence[str]) -> List[str]:
    """With where links lead. The longest first, so that the nearest root is found first."""
    both = {path for root in roots for path in (os.path.abspath(root), os.path.realpath(root))}
    return sorted(both, key=len, reverse=True)


def _value(database: sqlite3.Connection, query: str) -> Any:
    row = database.execute(query).fetchone()
    return row[0] if row else None
