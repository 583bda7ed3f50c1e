"""The agent's answer to a pull: a small SQLite file with what changed in a store.

The file keeps the names and columns of MLflow's tables (ids and paths as they are on the server;
the merge translates them), and adds

    meta(key, value)                values in JSON: format, since, watermarks, blocks, alembic,
                                    roots, left_out, mark, places
    entities(kind, id, signature)   the things (schema.KINDS) whose rows are in the file
    gone(kind, id)                  those that `known` names and the store no longer has

Rows that can change are sent when their owner's signature differs from the known one (of those who
have rows in a block that differs, see row_blocks, others need not be signed); a run that is RUNNING is always sent, since its artifacts grow. Rows that are only ever added are sent by
rowid, from a watermark with a guard: hard-deleting the newest run lets SQLite reuse its rowids, and
rebuilding a table renumbers them, so the content of the last known row is remembered, and when it
isn't there any more, all rows are sent.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sqlite3
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from remote.errors import StoreError
from remote.tracking import schema
from remote.tracking.row_blocks import suspects
from remote.tracking.signatures import signatures
from remote.tracking.store import quoted, readable_text, reading_url, tables_of, usable

FORMAT = 2
PART = 200_000
"""Rows read at once from a long table: about a quarter of a second, in which nobody can write."""
MAX_ROWID = 2**63 - 1
_OWN_TABLES = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE entities (kind TEXT, id, signature TEXT, PRIMARY KEY (kind, id)) WITHOUT ROWID",
    "CREATE TABLE gone (kind TEXT, id, PRIMARY KEY (kind, id)) WITHOUT ROWID",
)
_NAME = r'(?:\w+|"(?:[^"]|"")+")'
_COLUMN = rf"\s*{_NAME}(?: (?:TEXT|INT|INTEGER|REAL|NUM|BLOB))?\s*"
_PLAIN_TABLE = re.compile(rf"CREATE TABLE {_NAME} ?\({_COLUMN}(?:,{_COLUMN})*\)")


def write(
    store: Path,
    out: Path,
    known: Mapping[str, Any],
    *,
    roots: Sequence[str] = (),
    registry: bool = False,
    chosen: Optional[Mapping[str, Sequence[str]]] = None,
) -> None:
    """Writes to `out` what changed in `store` since `known` (see merge.pull_state; {} is all).

    `roots` are the folders that hold the store's `mlruns`, by default the store's own; where a link
    leads is added here. With `registry` the registered models are looked at too. `chosen` limits
    the delta to the ids of some kinds, and nothing of the kinds that it doesn't name.
    Raises StoreError.
    """
    if known.get("format") != FORMAT:
        known = {}
    with usable(store), new_delta(out) as database:
        mark = with_registry(file_mark(store), registry)
        database.execute("ATTACH ? AS store", (reading_url(store),))
        meta = {"format": FORMAT, "since": known.get("token"), "mark": mark}
        meta["roots"] = with_real_paths(roots or [str(store.parent)])
        _Delta(database, known, mark, registry, chosen, {}).write(meta)


@contextmanager
def new_delta(out: Path) -> Iterator[sqlite3.Connection]:
    """An empty delta in `out`, in place of what was there; whoever writes begins transactions."""
    with suppress(FileNotFoundError):
        out.unlink()
    # It may lie where others can look.
    os.close(os.open(str(out), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    with closing(sqlite3.connect(str(out), timeout=60, uri=True)) as database:
        database.isolation_level, database.text_factory = None, readable_text
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")
        database.executescript(";".join(_OWN_TABLES))
        yield database


def refuse_strange(file: Path) -> None:
    """Raises StoreError for a delta that has more than tables of plain columns, and for what is no
    database.

    It comes from another machine. How a column compares (COLLATE), a trigger, or an index that says
    something else than its table would have a merge take for one thing what is another.
    """
    url = file.resolve().as_uri() + "?mode=ro"
    try:
        with closing(sqlite3.connect(url, uri=True)) as database:
            database.execute("PRAGMA trusted_schema = OFF")
            schema_rows = database.execute("SELECT name, sql FROM sqlite_master").fetchall()
    except sqlite3.Error as error:
        raise StoreError(f"The records can't be read: {error}", "Pull again.") from None
    for name, text in schema_rows:
        is_plain = text in _OWN_TABLES or _PLAIN_TABLE.fullmatch(str(text))
        if not is_plain or str(name).startswith("sqlite_"):
            raise StoreError(
                f"The records can't be merged: {str(name)[:60]!r} in them is no plain table.",
                "This toolkit makes none of another kind: who has changed it on the server?",
            )


def signatures_of(store: Path, chosen: Mapping[str, Sequence[str]]) -> Dict[str, Dict[str, str]]:
    """The signatures, as `write` gives them, of those chosen ids of each kind that `store` has."""
    found: Dict[str, Dict[str, str]] = {}
    with usable(store), closing(sqlite3.connect("", timeout=60, uri=True)) as database:
        database.isolation_level, database.text_factory = None, readable_text
        database.execute("CREATE TABLE wanted (id PRIMARY KEY) WITHOUT ROWID")
        database.execute("ATTACH ? AS store", (reading_url(store),))
        database.execute("BEGIN")
        tables = tables_of(database, "store")
        for kind, ids in chosen.items():
            database.execute("DELETE FROM wanted")
            database.executemany("INSERT OR IGNORE INTO wanted VALUES (?)", ((i,) for i in ids))
            signed = [table for table in schema.rows_of(kind) if table.name in tables]
            sums = signatures(database, signed, "SELECT id FROM wanted")
            found[kind] = {str(identity): sums[identity] for identity in sums}
    return found


class _Delta(NamedTuple):
    """A delta while it is written, with the store attached, and what was asked for."""

    database: sqlite3.Connection
    known: Mapping[str, Any]
    mark: Optional[str]
    registry: bool
    chosen: Optional[Mapping[str, Sequence[str]]]
    blocks: Dict[str, Any]
    """Those of each table whose rows can change, as they are now."""

    def write(self, meta: Dict[str, Any]) -> None:
        """One moment of the store, whoever writes to it.

        Reading is one transaction, but for the rows of the long tables: those are copied up to
        where they ended at that moment, in parts, so that a writer never waits long.
        """
        database = self.database
        database.execute("BEGIN")
        tables = tables_of(database, "store")
        unasked = {
            kind.table for kind in schema.KINDS.values() if kind.optional and not self.registry
        }
        for kind in schema.KINDS.values():
            if kind.table in tables and kind.table not in unasked:
                owned = [table for table in schema.rows_of(kind.name) if table.name in tables]
                self._send(kind, owned)
        long_tables = [table for table in schema.append_only() if table.name in tables]
        starts = [self._start(table.name) for table in long_tables]
        marks = {table.name: _watermark(database, table.name) for table in long_tables}
        meta["watermarks"], meta["blocks"] = marks, self.blocks
        meta["alembic"] = _value(database, "SELECT version_num FROM store.alembic_version")
        meta["left_out"] = [
            name
            for name in tables
            if (name in unasked or schema.is_left_out(name))
            and _value(database, f"SELECT EXISTS (SELECT 1 FROM store.{quoted(name)})")
        ]
        database.execute("COMMIT")
        for table, start in zip(long_tables, starts):
            self._copy_new(table, start, **marks[table.name])
        # Last: without it, the file is half a delta, which nobody takes; with it, nothing can fail.
        rows = [(key, json.dumps(value)) for key, value in meta.items()]
        database.execute("BEGIN")
        database.executemany("INSERT INTO meta VALUES (?, ?)", rows)
        database.execute("COMMIT")

    def _send(self, kind: schema.Kind, tables: Sequence[schema.Table]) -> None:
        """Notes what of one kind is changed or gone, and copies the rows of the changed."""
        run, (changed, gone) = self.database.executemany, self._changed(kind, tables)
        entities = [(kind.name, identity, signature) for identity, signature in changed.items()]
        run("INSERT INTO entities VALUES (?, ?, ?)", entities)
        run("INSERT INTO gone VALUES (?, ?)", [(kind.name, identity) for identity in gone])
        for table in tables:
            # All of experiments is sent, changed or not: one that is gone here may be made anew.
            where = "1" if kind.name == schema.EXPERIMENT else _is_sent(table)
            self.database.execute(
                f'CREATE TABLE "{table.name}" AS SELECT * FROM store."{table.name}" WHERE {where}'
            )

    def _changed(
        self, kind: schema.Kind, tables: Sequence[schema.Table]
    ) -> Tuple[Dict[Any, str], List[str]]:
        """The signatures of what is new or changed, and the ids of what is gone."""
        if self.chosen is not None:
            return dict.fromkeys(self.chosen.get(kind.name, ()), ""), []
        old = dict(self.known.get("signatures", {}).get(kind.name, {}))
        working = set()
        if kind.working:
            column, value = kind.working
            query = f'SELECT "{kind.column}" FROM store."{kind.table}" WHERE "{column}" = ?'
            working = {identity for (identity,) in self.database.execute(query, (value,))}
        if self.mark is not None and self.known.get("mark") == self.mark:
            # The file is the very one that was read last: no row of it needs to be looked at.
            self.blocks.update(self.known.get("blocks") or {})
            return {identity: old.get(identity, "") for identity in working}, []
        rows = self.database.execute(f'SELECT "{kind.column}" FROM store."{kind.table}"')
        present = {str(identity): identity for (identity,) in rows}
        unsigned = [identity for name, identity in present.items() if not old.get(name)]
        before = self.known.get("blocks") or {}
        found = suspects(self.database, tables, before, [*working, *unsigned])
        self.blocks.update(found.blocks)
        sums = signatures(self.database, tables, found.query)
        changed = {
            identity: signature
            for identity, signature in sums.items()
            if old.get(str(identity)) != signature or identity in working
        }
        return changed, list(old.keys() - present.keys())

    def _start(self, table: str) -> int:
        """Makes the table, still empty; the last row that is known, 0 where the guard fails."""
        self.database.execute(f'CREATE TABLE "{table}" AS SELECT * FROM store."{table}" WHERE 0')
        watermark = self.known.get("watermarks", {}).get(table, {})
        start = int(watermark.get("rowid", 0))
        return start if watermark.get("guard") == _guard(self.database, table, start) else 0

    def _copy_new(self, table: schema.Table, start: int, rowid: int, guard: str) -> None:
        """Copies the rows past `start`, up to the watermark (`rowid`, `guard`).

        Rebuilt meanwhile, they have other numbers: then all of them, at one go.
        """
        name, run = table.name, self.database.execute
        where = "1" if self.chosen is None else _is_of_chosen(table)
        insert = f'INSERT INTO "{name}" SELECT * FROM store."{name}" WHERE {where}'
        for first, last in parts(self.database, f'store."{name}"', PART, start, rowid):
            run(f"{insert} AND rowid > {first} AND rowid <= {last}")
        if _guard(self.database, name, rowid) != guard:
            run(f'DELETE FROM "{name}"')
            run(insert)


def parts(
    database: sqlite3.Connection, table: str, size: int, start: int = 0, end: int = MAX_ROWID
) -> Iterator[Tuple[int, int]]:
    """Row numbers (after the first, up to the second) of `size` rows each, whatever their gaps."""
    numbers = f"SELECT rowid FROM {table} WHERE rowid > ? AND rowid <= ? ORDER BY rowid LIMIT ?"
    while True:
        last = _value(database, f"SELECT max(rowid) FROM ({numbers})", start, end, size)
        if last is None:
            return
        yield start, last
        start = last


def _watermark(database: sqlite3.Connection, table: str) -> Dict[str, Any]:
    last = _value(database, f'SELECT max(rowid) FROM store."{table}"') or 0
    return {"rowid": last, "guard": _guard(database, table, last)}


def file_mark(store: Path) -> Optional[str]:
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
    return f"{status.st_ino}:{status.st_size}:{status.st_mtime_ns}:{counter}"


def with_registry(mark: Optional[str], registry: bool) -> Optional[str]:
    """What a mark is for a delta: with the registered models another, since they are looked at too."""
    return f"{mark}:{int(registry)}" if mark else None


def _is_of_chosen(table: schema.Table) -> str:
    """The condition that a row is of the chosen things (those in `entities`)."""
    if table.name in schema.ENDS:
        types = " UNION ALL ".join(
            f"SELECT '{name}' AS type, '{kind}' AS kind"
            for name, kind in schema.ENDS[table.name].items()
        )
        ends = (
            f"({end}_type, {end}_id) IN (SELECT t.type, e.id FROM entities e JOIN"
            f" ({types}) t ON t.kind = e.kind)"
            for end in ("source", "destination")
        )
        return f"({' OR '.join(ends)})"
    return _is_sent(table) if table.owner else "input_uuid IN (SELECT input_uuid FROM inputs)"


def _is_sent(table: schema.Table) -> str:
    """The condition that a row's owner is in `entities`."""
    ids = f"SELECT id FROM entities WHERE kind = '{table.owner}'"
    return f'"{table.owner_column}" IN ({ids})'


def _hash(table: str, row: Sequence[object]) -> int:
    digest = hashlib.blake2b(repr((table, row)).encode("utf-8", "replace"), digest_size=8)
    return int.from_bytes(digest.digest(), "big")


def _guard(database: sqlite3.Connection, table: str, rowid: int) -> str:
    """What row `rowid` says; rowid 0 and a vanished row say nothing."""
    row = database.execute(f'SELECT * FROM store."{table}" WHERE rowid = ?', (rowid,)).fetchone()
    return "" if row is None else f"{_hash(table, row):016x}"


def with_real_paths(roots: Sequence[str]) -> List[str]:
    """With where links lead. The longest first, so that the nearest root is found first."""
    both = {path for root in roots for path in (os.path.abspath(root), os.path.realpath(root))}
    return sorted(both, key=len, reverse=True)


def _value(database: sqlite3.Connection, query: str, *values: object) -> Any:
    row = database.execute(query, values).fetchone()
    return row[0] if row else None
