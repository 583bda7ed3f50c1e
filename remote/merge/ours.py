"""The store that is merged into, as the merge sees it: the schema `main` of a SQLite connection."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Iterable, Union

from remote.errors import StoreError
from remote.host.store import BUSY_TIMEOUT, is_store

Location = Union[Path, str]
"""A SQLite file, or the address of another database (`postgresql://…`)."""

_CACHE_KIB = 32 * 1024


class Ours:
    """A SQLite file: it is `main` itself.

    A store that is elsewhere (see remote.merge.elsewhere) has rows copied to `main` before they are
    looked at, and what changed there copied back at each commit.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self.database = database

    def begin(self) -> None:
        self.database.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """One commit over store and base.

        SQLite makes it atomic with a super-journal; where the store is in WAL mode, it commits the
        store first. A base that lags behind is repaired by the next pull.
        """
        self.database.execute("COMMIT")

    def rollback(self) -> None:
        self.database.execute("ROLLBACK")

    def bring(self, table: str, column: str, ids: Iterable[object]) -> None:
        """Have the rows whose `column` is one of `ids` at hand in `main`."""

    def bring_all(self, table: str) -> None:
        """Have all rows of a table at hand in `main`."""

    def bring_same(self, table: str, key: Iterable[str], query: str) -> None:
        """Have those rows at hand in `main` whose key is in the answer of `query`."""

    def close(self) -> None:
        self.database.close()


def open_ours(location: Location) -> Ours:
    """Raises StoreError where there is no MLflow store."""
    if isinstance(location, str):
        raise StoreError(f"{location} isn't a SQLite file.")
    if not is_store(location):
        raise StoreError(f"{location} isn't an MLflow store.")
    url = location.resolve().as_uri() + "?mode=rw"
    database = sqlite3.connect(url, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None)
    database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    return Ours(database)
