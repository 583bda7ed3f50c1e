"""The file itself: opened for a check, looked through, copied."""

from __future__ import annotations

import os
import shlex
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from remote.errors import StoreError
from remote.output import plural
from remote.tracking.check.finding import Finding
from remote.tracking.store import BUSY_TIMEOUT, connect_read_only, is_store, reading_url, unusable

NAME = "database"
_START = b"SQLite format 3\x00"


def refuse_foreign(store: Path) -> None:
    """Raises StoreError for what is no SQLite file, or one of another program's."""
    if not store.is_file():
        raise StoreError(f"{store} isn't there.", "Name a store: a file such as mlflow.db.")
    with open(store, "rb") as file:
        is_sqlite = file.read(len(_START)) == _START
    if not is_sqlite or not (is_store(store) or _is_damaged(store)):
        raise StoreError(f"{store} isn't an MLflow store.", "Name a file such as mlflow.db.")


def _is_damaged(store: Path) -> bool:
    try:
        with closing(sqlite3.connect(reading_url(store), uri=True)) as database:
            database.execute("SELECT count(*) FROM sqlite_master").fetchone()
            return False
    except sqlite3.DatabaseError:
        return True


def left_journal(store: Path) -> list[Finding]:
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
    return [Finding(NAME, summary, note=True)]


def integrity(store: Path) -> list[Finding]:
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
    return [Finding(NAME, summary, tuple(lines), step)]


def back_up(store: Path, time: str) -> Path:
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
