"""The merge base: a SQLite file beside the store, one for each target, written by the merge alone.

    meta           format, source, store (which local store it belongs to), token, watermarks
    entity         the experiments, runs and models pulled, with the signature of their rows there
    refused        those that were left out
    experiment_map, dataset_map       ids there -> ids here
    artifact       folders that were named to the caller and not yet settled
    runs, tags, …  the rows that both sides may change as last pulled, in local ids and paths

It may be lost: then everything is compared, and where both sides differ, ours is kept.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from remote.errors import StoreError
from remote.host import schema
from remote.merge.summary import ArtifactFolder

FORMAT = 1
TABLES = """
CREATE TABLE IF NOT EXISTS base.meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS base.entity
    (kind TEXT, id, signature TEXT, PRIMARY KEY (kind, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS base.refused (kind TEXT, id, PRIMARY KEY (kind, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS base.experiment_map
    (theirs INTEGER PRIMARY KEY, theirs_created, ours INTEGER, ours_created, last_name TEXT);
CREATE TABLE IF NOT EXISTS base.dataset_map (theirs TEXT PRIMARY KEY, ours TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS base.artifact (local TEXT PRIMARY KEY, remote TEXT) WITHOUT ROWID;
"""
_UNUSABLE = (sqlite3.DatabaseError, OSError, ValueError)


def known(base: Path, *, store: Path | None = None) -> dict[str, Any]:
    """What to tell the agent, JSON-able; {} (send everything) without a usable base.

    With `store`, a base that belongs to another store counts as none: who moves `mlflow.db` away
    gets everything again.
    """
    if store is not None and not is_usable(base, store):
        return {}
    try:
        with closing(_open(base)) as database:
            return _known(database)
    except _UNUSABLE as error:
        _raise_if_locked(base, error)
        return {}


def settle(base: Path, folders: Iterable[ArtifactFolder]) -> None:
    """The artifacts of `folders` have arrived; until told so, each merge names them again."""
    with closing(sqlite3.connect(base, timeout=60)) as database, database:
        database.executemany(
            "DELETE FROM artifact WHERE local = ?", [(folder.local,) for folder in folders]
        )


def is_usable(base: Path, store: Path) -> bool:
    """False for a base that is damaged, of an older format, or another store's."""
    try:
        with closing(_open(base)) as database:
            return _belongs(database, store)
    except _UNUSABLE as error:
        _raise_if_locked(base, error)
        return False


def set_aside(base: Path) -> None:
    """Moves an unusable base away, for whoever wants to see what became of it."""
    for suffix in ("", "-journal", "-wal", "-shm"):
        if os.path.exists(f"{base}{suffix}"):
            os.replace(f"{base}{suffix}", f"{base}.damaged{suffix}")


def store_identity(database: sqlite3.Connection) -> str:
    """Which store this is: a store made anew has other times of creation."""
    row = database.execute(
        "SELECT experiment_id, creation_time FROM experiments ORDER BY experiment_id LIMIT 1"
    ).fetchone()
    return json.dumps(row)


def get(database: sqlite3.Connection, key: str, schema_name: str = "base") -> Any:
    """A value of the base's (or the delta's) meta table, None where it is missing."""
    row = database.execute(f"SELECT value FROM {schema_name}.meta WHERE key = ?", (key,)).fetchone()
    return json.loads(row[0]) if row else None


def put(database: sqlite3.Connection, key: str, value: object) -> None:
    if get(database, key) != value:
        row = (key, json.dumps(value))
        database.execute("INSERT OR REPLACE INTO base.meta VALUES (?, ?)", row)


def prepare(database: sqlite3.Connection, source: str) -> None:
    """Makes the base's tables after the store's; within the caller's transaction."""
    for statement in TABLES.split(";"):
        database.execute(statement)
    for table in schema.TABLES:
        if table.rule == schema.THREE_WAY:
            _copy_columns(database, table)
    owner = get(database, "source")
    if owner not in (None, source):
        raise StoreError(f"This merge base belongs to {owner}, not to {source}.")
    put(database, "format", FORMAT)
    put(database, "source", source)
    if get(database, "store") is None:
        put(database, "store", store_identity(database))


def columns(database: sqlite3.Connection, schema_name: str, table: str) -> list[str]:
    """The names of a table's columns; none for a table that isn't there (a view isn't a table)."""
    master = f"SELECT 1 FROM {schema_name}.sqlite_master WHERE type = 'table' AND name = ?"
    if database.execute(master, (table,)).fetchone() is None:
        return []
    return [row[1] for row in database.execute(f'PRAGMA {schema_name}.table_info("{table}")')]


def _copy_columns(database: sqlite3.Connection, table: schema.Table) -> None:
    """Without types: a value comes back exactly as it was put in."""
    wanted = columns(database, "main", table.name)
    have = columns(database, "base", table.name)
    if wanted and not have:
        key = ", ".join(f'"{column}"' for column in table.key)
        names = ", ".join(f'"{column}"' for column in wanted)
        database.execute(
            f'CREATE TABLE base."{table.name}" ({names}, PRIMARY KEY ({key})) WITHOUT ROWID'
        )
        return
    for column in wanted:
        if column not in have:
            database.execute(f'ALTER TABLE base."{table.name}" ADD COLUMN "{column}"')


def _open(base: Path) -> sqlite3.Connection:
    """Opens for reading what was looked through; the tables are then `base.…` as in the merge."""
    if not base.is_file():
        raise FileNotFoundError(base)
    database = sqlite3.connect(":memory:", uri=True, timeout=60)
    try:
        # Not mode=ro: what a killed merge left must be rolled back first.
        database.execute("ATTACH ? AS base", (base.resolve().as_uri() + "?mode=rw",))
        if database.execute("PRAGMA base.quick_check(1)").fetchone() != ("ok",):
            raise sqlite3.DatabaseError("damaged")
        if get(database, "format") != FORMAT:
            raise ValueError("another format")
        return database
    except BaseException:
        database.close()
        raise


def _raise_if_locked(base: Path, error: Exception) -> None:
    """A base that another merge is writing isn't a damaged one."""
    if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
        raise StoreError(f"Another merge is using {base}.", "Wait for it, then pull again.")


def _belongs(database: sqlite3.Connection, store: Path) -> bool:
    if not store.is_file():
        return False
    with closing(sqlite3.connect(store, timeout=60)) as ours:
        return bool(get(database, "store") == store_identity(ours))


def _known(database: sqlite3.Connection) -> dict[str, Any]:
    signatures: dict[str, dict[str, str]] = {kind: {} for kind in schema.KINDS}
    for kind, identity, signature in database.execute(
        "SELECT kind, id, signature FROM base.entity"
    ):
        signatures[kind][str(identity)] = signature
    return {
        "format": FORMAT,
        "token": get(database, "token"),
        "watermarks": get(database, "watermarks") or {},
        "signatures": signatures,
    }
