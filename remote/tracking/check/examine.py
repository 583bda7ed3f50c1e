"""All that is checked, in order, and the mending of what can be mended."""

from __future__ import annotations

import os
import shlex
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Optional, Sequence

from remote.errors import StoreError
from remote.output import plural
from remote.tracking.check.finding import Finding, path_findings
from remote.tracking.check.missing_artifacts import missing_artifacts
from remote.tracking.check.path_rows import records
from remote.tracking.check.path_status import PathStatus, path_statuses
from remote.tracking.check.project_dir import ProjectDir
from remote.tracking.store import BUSY_TIMEOUT, connect_read_only, is_store, reading_url, unusable

_MAGIC = b"SQLite format 3\x00"
"""What a SQLite file begins with (https://www.sqlite.org/fileformat2.html#the_database_header)."""


def examine(project: ProjectDir) -> list[Finding]:
    """What is wrong with the store; raises StoreError where it is none, or can't be read."""
    journal = _left_journal(project.store)
    _refuse_other_files(project.store)
    damage = _integrity(project.store)
    if damage:
        return [*journal, *damage]
    if not is_store(project.store):
        raise _no_store(project.store)
    try:
        with closing(connect_read_only(project.store)) as database:
            # Every statement is a transaction of its own: a long one would keep writers out.
            database.isolation_level = None
            statuses = _statuses(database, project)
            missing = missing_artifacts(database, statuses)
    except sqlite3.Error as error:
        raise unusable(project.store, error) from error
    paths = path_findings(statuses, project)
    return [*journal, *paths, *missing, *_file_store(project)]


def mend(project: ProjectDir, findings: Sequence[Finding]) -> Optional[Path]:
    """Does what mends `findings` in one transaction; the copy that was made before, if any was.

    What is to be done is asked again under the lock: the store may have changed since.
    """
    if not any(finding.changes for finding in findings):
        return None
    copy = _back_up(project.store, time.strftime("%Y%m%d-%H%M%S"))
    try:
        with closing(sqlite3.connect(project.store, timeout=BUSY_TIMEOUT)) as database:
            database.isolation_level = None
            database.execute("BEGIN IMMEDIATE")
            for finding in path_findings(_statuses(database, project), project):
                for change in finding.changes:
                    database.execute(change.query, change.values)
            database.execute("COMMIT")
    except sqlite3.Error as error:
        raise unusable(project.store, error) from error
    return copy


def _statuses(database: sqlite3.Connection, project: ProjectDir) -> list[PathStatus]:
    return path_statuses(records(database, project), project)


def _file_store(project: ProjectDir) -> list[Finding]:
    """What makes plain `mlflow ui` choose `mlruns` over the database, and refuse to start."""
    folders = sorted(path.parent.name for path in Path(project.mlruns).glob("*/meta.yaml"))
    items = tuple(f"mlruns/{name}/meta.yaml" for name in folders if name.isdigit())
    if not items:
        return []
    count = plural(len(items), "experiment")
    summary = f"mlruns holds a file store ({count}), for which mlflow ui passes the database over"
    step = "Bring its runs into the database (inv mlflow-merge mlruns), then move these files away."
    return [Finding("file store", summary, items, step)]


def _refuse_other_files(store: Path) -> None:
    """Raises StoreError for what is no SQLite file. It may still be another program's."""
    if not store.is_file():
        raise StoreError(f"{store} isn't there.", "Name a store: a file such as mlflow.db.")
    with open(store, "rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise _no_store(store)


def _no_store(store: Path) -> StoreError:
    return StoreError(f"{store} isn't an MLflow store.", "Name a file such as mlflow.db.")


def _left_journal(store: Path) -> list[Finding]:
    """What a program left that was killed while it wrote; to be asked before anything else opens it.

    The first program that opens the store takes back what was half written.
    """
    journal = Path(f"{store}-journal")
    if not journal.is_file() or not journal.stat().st_size:
        return []
    try:
        url = store.resolve().as_uri() + "?mode=ro"
        with closing(sqlite3.connect(url, uri=True, timeout=BUSY_TIMEOUT)) as database:
            database.execute("SELECT 1 FROM sqlite_master").fetchone()
        return []
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise unusable(store, error) from error
    summary = (
        f"{journal.name} was left by a program that was killed; what it left half written is undone"
    )
    return [Finding("database", summary, note=True)]


def _integrity(store: Path) -> list[Finding]:
    """What SQLite itself finds wrong; nothing else can be told of such a file."""
    try:
        with closing(connect_read_only(store)) as database:
            lines = [line for (line,) in database.execute("PRAGMA quick_check")]
    except sqlite3.OperationalError as error:
        raise unusable(store, error) from error
    except sqlite3.DatabaseError as error:
        lines = [str(error)]
    if lines == ["ok"]:
        return []
    old, new = shlex.quote(str(store)), shlex.quote(f"{store}.recovered")
    summary = f"the file is damaged ({plural(len(lines), 'fault')})"
    step = f'Put back a copy, or save what can be read: sqlite3 {old} ".recover" | sqlite3 {new}'
    return [Finding("database", summary, tuple(lines), step)]


def _back_up(store: Path, time: str) -> Path:
    """A copy beside the store, in one step: consistent, whoever writes meanwhile."""
    copy = Path(f"{store}.before-check-{time}")
    number = 1
    while copy.exists():
        number += 1
        copy = Path(f"{store}.before-check-{time}-{number}")
    part = Path(f"{copy}.part")
    try:
        with closing(sqlite3.connect(reading_url(store), uri=True)) as source:
            with closing(sqlite3.connect(part)) as target:
                source.backup(target, pages=-1)
        shutil.copymode(store, part)
        os.replace(part, copy)
    except (sqlite3.Error, OSError) as error:
        part.unlink(missing_ok=True)
        raise StoreError(
            f"No copy of {store} could be made: {error}", "Nothing was changed. Is the disk full?"
        ) from error
    return copy
