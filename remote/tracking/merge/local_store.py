"""The store that is merged into: a SQLite file, as the schema `main` of a connection."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Iterator

from remote.errors import StoreError
from remote.tracking.store import BUSY_TIMEOUT, connect_read_only, is_store

_CACHE_KIB = 96 * 1024

_TURN = 1.5  # seconds
"""How long a merge writes before it lets others write: their logging gives up after five seconds."""

_PAUSE = 0.12  # seconds
"""A writer that waits for SQLite's lock looks again after 0.1 seconds at the latest
(sqliteDefaultBusyCallback)."""


class LocalStore:
    """An open store, and whose turn it is to write in it."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self.database = database
        self._turn = 0.0
        """When the merge began to write, one transaction after the other."""

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Lock the store against other writers, and commit store and base at once, or undo all.

        Now and then it is the other writers' turn first. SQLite makes the commit atomic with a
        super-journal; where the store is in WAL mode, it commits the store first. A base that lags
        behind is repaired by the next pull.
        """
        self._let_others_write()
        self.database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.database.execute("COMMIT")
        except BaseException:
            if self.database.in_transaction:
                self.database.execute("ROLLBACK")
            raise

    def _let_others_write(self) -> None:
        if time.monotonic() - self._turn > _TURN:
            if self._turn:
                time.sleep(_PAUSE)
            self._turn = time.monotonic()

    def close(self) -> None:
        """Close the connection."""
        self.database.close()


def open_local_store(file: Path, *, dry_run: bool = False) -> LocalStore:
    """Open a store to merge into; with `dry_run` a copy of it, which goes when it is closed.

    Raises StoreError where there is no MLflow store.
    """
    if not is_store(file):
        raise StoreError(f"{file} isn't an MLflow store.")
    if dry_run:
        return LocalStore(_temporary_copy(file))
    url = file.resolve().as_uri() + "?mode=rw"
    database = sqlite3.connect(url, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None)
    database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    return LocalStore(database)


def _temporary_copy(file: Path) -> sqlite3.Connection:
    """A copy in a file of SQLite's own, without a name.

    One long transaction that is rolled back would need no second file, but would keep everybody
    from logging into the store for as long as the merge takes.
    """
    copy = sqlite3.connect("", uri=True, isolation_level=None)
    with closing(connect_read_only(file)) as source:
        source.backup(copy)
    return copy
