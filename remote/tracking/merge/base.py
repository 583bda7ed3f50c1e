"""The merge base: a SQLite file beside the store, one for each target, written by the merge alone.

    meta           format, source, store (which local store it belongs to), token, watermarks,
                   blocks, revision (of that store's schema when it was merged into last)
    entity         the things pulled, with the signature of their rows there (NULL: gone there)
    refused        those that were left out
    experiment_map, dataset_map       ids there -> ids here
    conflict       columns of rows where both sides had changed, until the user has settled them
    artifact       folders that were named to the caller and not yet settled
    runs, tags, …  the rows that both sides may change as last pulled, in local ids and paths

A copy of it is kept beside it. With both lost everything is compared, and where both sides differ,
ours is kept; only what was deleted here for good comes back.
"""

from __future__ import annotations

import filecmp
import json
import os
import re
import shutil
import sqlite3
import tempfile
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Callable, Dict, Iterator

from remote.errors import StoreError
from remote.files import is_absent
from remote.tracking import delta, schema
from remote.tracking.merge.merge_sql import names
from remote.tracking.revisions import revision_of
from remote.tracking.store import columns_of, connect_read_only, refuse_foreign

FORMAT = 1
TABLES = """
CREATE TABLE IF NOT EXISTS base.meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS base.entity
    (kind TEXT, id, signature TEXT, PRIMARY KEY (kind, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS base.refused (kind TEXT, id, PRIMARY KEY (kind, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS base.experiment_map
    (theirs INTEGER PRIMARY KEY, theirs_created, ours INTEGER, ours_created, last_name TEXT);
CREATE TABLE IF NOT EXISTS base.dataset_map (theirs TEXT PRIMARY KEY, ours TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS base.conflict
    ("table" TEXT, key TEXT, column TEXT, theirs, PRIMARY KEY ("table", key, column)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS base.artifact (local TEXT PRIMARY KEY, remote TEXT) WITHOUT ROWID;
"""


def pull_state(base: Path, *, store: Path) -> Dict[str, Any]:
    """What to tell the agent, JSON-able; {} (send everything) without a usable base.

    A base that belongs to another store counts as none: who moves `mlflow.db` away gets everything
    again.
    """
    if not store.exists():
        return {}
    refuse_foreign(store)
    with closing(connect_read_only(store)) as database:
        identity, revision = store_identity(database), revision_of(database)
    if not make_usable(base, identity):
        return {}
    state = _read(base, _pull_state, is_sound=True) or {}
    if state and state.pop("revision") != revision:
        # Since the last merge the store got tables and columns that were left out until then.
        state.update(mark=None, watermarks={}, blocks=None)
        for signatures in state["signatures"].values():
            signatures.update(dict.fromkeys(signatures, ""))
    return state


def _pull_state(database: sqlite3.Connection) -> Dict[str, Any]:
    signed = (
        "SELECT CAST(id AS TEXT), signature FROM base.entity"
        " WHERE kind = ? AND signature IS NOT NULL"
    )
    signatures = {kind: dict(database.execute(signed, (kind,))) for kind in schema.KINDS}
    return {
        "format": delta.FORMAT,
        "mark": get(database, "mark"),
        "token": get(database, "token"),
        "revision": get(database, "revision"),
        "watermarks": get(database, "watermarks") or {},
        "blocks": get(database, "blocks"),
        "signatures": signatures,
    }


def source_name(base: Path) -> str:
    """Where the records of a base came from."""
    return str(_read(base, lambda database: get(database, "source")))


def is_of(base: Path, delta: Path) -> bool:
    """Whether a delta comes from the store that the base tells of: one that was made anew has other
    times of creation."""
    with closing(sqlite3.connect(str(delta))) as database:
        # Stores of MLflow before 2 have no such times.
        if "creation_time" not in columns_of(database, "main", "experiments"):
            return False
        rows = database.execute("SELECT experiment_id, creation_time FROM experiments").fetchall()
    theirs = "SELECT theirs, theirs_created FROM base.experiment_map"
    links = _read(base, lambda database: database.execute(theirs).fetchall(), is_sound=True)
    linked = dict(links or ())
    common = [created == linked[number] for number, created in rows if number in linked]
    return bool(common) and all(common)


def rename(base: Path, new: Path, *, source: str) -> None:
    """Have a base be that of a source which has got another name."""
    with closing(sqlite3.connect(str(base), timeout=60)) as database, database:
        database.execute("UPDATE meta SET value = ? WHERE key = 'source'", (json.dumps(source),))
    os.replace(str(base), str(new))
    if backup_of(base).exists():
        backup_of(base).unlink()


def make_usable(base: Path, identity: str) -> bool:
    """False where there is no base of the store that `identity` names.

    One that is damaged, of an older format or another store's is set aside; its copy takes its
    place.
    """
    if _is_usable(base, identity):
        return True
    if base.is_file() and not base.stat().st_size and not backup_of(base).exists():
        # The first merge was killed before anything stood in it.
        base.unlink()
    for suffix in ("", "-journal", "-wal", "-shm"):
        if Path(f"{base}{suffix}").exists():
            # For whoever wants to see what became of it.
            os.replace(f"{base}{suffix}", f"{base}.damaged{suffix}")
    copy = backup_of(base)
    if not _is_usable(copy, identity):
        return False
    _copy_whole(copy, base)
    return True


#: What SQLite says where the disk is at fault, and not the file.
_DISK = re.compile("disk I/O|is full|readonly")


def _is_usable(base: Path, identity: str) -> bool:
    return bool((_read(base, _meta) or {}).get("store") == identity)


def _meta(database: sqlite3.Connection) -> Dict[str, Any]:
    """All values of the base's meta table: SQLite's check looks into no long ones."""
    rows = database.execute("SELECT key, value FROM base.meta")
    return {key: json.loads(value) for key, value in rows}


def _read(base: Path, read: Callable[[sqlite3.Connection], Any], *, is_sound: bool = False) -> Any:
    """What `read` finds in a base; None for none, and for a damaged one.

    It is looked through before, which takes as long as it is large, unless it is known to be sound.
    Raises StoreError for one that can't be read now, which isn't the same.
    """
    try:
        if is_absent(base):
            return None
        with open(base, "rb") as file:
            file.read(1)
        with closing(sqlite3.connect(":memory:", uri=True, timeout=60)) as database:
            # Not mode=ro: what a killed merge left must be rolled back first.
            attach(database, base)
            is_sound = is_sound or _is_sound(database, base)
            return read(database) if is_sound and get(database, "format") == FORMAT else None
    except (sqlite3.DatabaseError, OSError, ValueError) as error:
        # A base that another merge is writing isn't a damaged one.
        if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
            raise StoreError(
                f"Another merge is using {base}.", "Wait for it, then pull again."
            ) from error
        if isinstance(error, OSError) or _DISK.search(str(error)):
            raise StoreError(
                f"{base} can't be read: {error}.",
                "By it, a pull knows what was changed locally: check its owner, and the free space.",
            ) from error
        return None


#: The marks of the bases that this process has looked through: a pull needs one before it asks, and
#: again once it has the delta.
_looked_through: Dict[Path, str] = {}


def _is_sound(database: sqlite3.Connection, base: Path) -> bool:
    """Whether SQLite finds no damage in the base that is attached."""
    # Before the look: who writes meanwhile changes it.
    mark = delta.file_mark(base)
    if mark is not None and _looked_through.get(base) == mark:
        return True
    is_sound = bool(database.execute("PRAGMA base.quick_check(1)").fetchone() == ("ok",))
    if is_sound and mark is not None:
        _looked_through[base] = mark
    return is_sound


def attach(database: sqlite3.Connection, base: Path) -> None:
    """Takes a base, made if it is missing, beside a store; its tables are then `base.…`."""
    base.parent.mkdir(parents=True, exist_ok=True)
    database.execute("ATTACH ? AS base", (base.resolve().as_uri() + "?mode=rwc",))


@contextmanager
def for_merge(base: Path, *, dry_run: bool) -> Iterator[Path]:
    """The base that a merge writes; the copy of it follows. Of a dry run, one to throw away."""
    backup = backup_of(base)
    if dry_run:
        with tempfile.TemporaryDirectory() as folder:
            # What a killed merge left belongs to it.
            for file in (base, Path(f"{base}-journal"), backup):
                if file.exists():
                    shutil.copy2(str(file), folder)
            yield Path(folder) / base.name
        return
    yield base
    if not (backup.is_file() and filecmp.cmp(str(base), str(backup))):
        _copy_whole(base, backup)


def backup_of(base: Path) -> Path:
    return base.with_name(base.name + ".copy")


def _copy_whole(base: Path, copy: Path) -> None:
    """With its times: they tell whether it has changed since."""
    part = copy.with_name(copy.name + ".part")
    shutil.copy2(str(base), str(part))
    os.replace(str(part), str(copy))


def store_identity(database: sqlite3.Connection) -> str:
    """Which store this is: a store made anew has other times of creation."""
    row = database.execute(
        "SELECT experiment_id, creation_time FROM experiments ORDER BY experiment_id LIMIT 1"
    ).fetchone()
    return json.dumps(row)


def get(database: sqlite3.Connection, key: str) -> Any:
    """A value of the base's meta table, None where it is missing."""
    row = database.execute("SELECT value FROM base.meta WHERE key = ?", (key,)).fetchone()
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
        if table.rule == schema.THREE_WAY and columns_of(database, "main", table.name):
            _prepare_table(database, table)
    owner = get(database, "source")
    if owner not in (None, source):
        raise StoreError(
            f"This merge base belongs to {owner}, not to {source}.",
            "Was .remote copied? Move its targets/*.base.db away: the next pull makes them anew.",
        )
    if get(database, "format") is None:
        put(database, "revision", revision_of(database))
    put(database, "format", FORMAT)
    put(database, "source", source)
    if get(database, "store") is None:
        put(database, "store", store_identity(database))


def _prepare_table(database: sqlite3.Connection, table: schema.Table) -> None:
    """With all columns of the store's. What is asked for by its owner has that column first."""
    run, name = database.execute, f'base."{table.name}"'
    wanted, have = (columns_of(database, place, table.name) for place in ("main", "base"))
    # SQLite 3.40 takes a table for damaged whose key has another order than its columns.
    key = sorted(table.key, key=lambda column: column != table.owner_column)
    is_ordered = have[:1] == key[:1]
    if is_ordered:
        for column in wanted:
            if column not in have:
                run(f'ALTER TABLE {name} ADD COLUMN "{column}"')
    else:
        if have:
            run(f"CREATE TEMP TABLE moved AS SELECT * FROM {name}")
            run(f"DROP TABLE {name}")
        # Without types: a value comes back exactly as it was put in.
        columns = names(list(dict.fromkeys([*key, *wanted, *have])))
        run(f"CREATE TABLE {name} ({columns}, PRIMARY KEY ({names(key)})) WITHOUT ROWID")
        if have:
            run(f"INSERT INTO {name} ({names(have)}) SELECT {names(have)} FROM temp.moved")
            run("DROP TABLE temp.moved")
    if table.owner_column not in table.key:
        run(
            f'CREATE INDEX IF NOT EXISTS base."of_{table.name}"'
            f' ON "{table.name}" ("{table.owner_column}")'
        )
