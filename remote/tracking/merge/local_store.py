"""The store that is merged into, as the merge sees it: the schema `main` of a SQLite connection."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Callable, Dict, Iterable, List, Mapping, Optional, Tuple, Union

from remote.errors import StoreError
from remote.tracking.merge.elsewhere.address import sqlite_file
from remote.tracking.merge.summary import Refusal
from remote.tracking.store import BUSY_TIMEOUT, is_store

Location = Union[Path, str]
"""A SQLite file, or the address of a database (`postgresql://…`)."""

Problem = Callable[[Mapping[str, object]], Optional[str]]
"""Says why a row can't be stored, None where it can."""

_CACHE_KIB = 96 * 1024

_TURN = 1.5  # seconds
"""How long we write before we let others write: their logging gives up after five seconds."""

_PAUSE = 0.12  # seconds
"""Who waits for SQLite's lock looks again after 0.1 seconds at the latest (sqliteDefaultBusyCallback)."""


class Disturbed(StoreError):
    """Others changed the same rows meanwhile: nothing was done, and doing it again may succeed."""


class Unfit(StoreError):
    """The database refused rows: the things (kind, id) that they belong to, each with a reason."""

    def __init__(self, things: Mapping[Tuple[str, object], str]) -> None:
        super().__init__(next(iter(things.values())))
        self.things: Dict[Tuple[str, object], str] = dict(things)


class Ours:
    """A SQLite file: it is `main` itself.

    A store that is elsewhere (see remote.tracking.merge.elsewhere) has rows copied to `main` before they are
    looked at, and what changed there copied back at each commit.
    """

    exact = True
    """Names are the same only if they are to the letter."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self.database = database
        self.refused: List[Refusal] = []
        """Rows that the store took for others, or that it refused."""
        self._turn = 0.0
        """When we began to write, one transaction after the other."""

    def begin(self) -> None:
        """Locks the store against other writers. Now and then it is their turn first."""
        if time.monotonic() - self._turn > _TURN:
            if self._turn:
                time.sleep(_PAUSE)
            self._turn = time.monotonic()
        self.database.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """One commit over store and base.

        SQLite makes it atomic with a super-journal; where the store is in WAL mode, it commits the
        store first. A base that lags behind is repaired by the next pull.
        """
        self.database.execute("COMMIT")

    def rollback(self) -> None:
        if self.database.in_transaction:
            self.database.execute("ROLLBACK")

    def bring(self, table: str, column: str, ids: Iterable[object], *, lock: bool = True) -> None:
        """Have the rows whose `column` is one of `ids` at hand in `main`.

        With `lock` nobody else changes them before the commit.
        """

    def bring_all(self, table: str) -> None:
        """Have all rows of a table at hand in `main`."""

    def bring_same(self, table: str, key: Iterable[str], query: str) -> None:
        """Have those rows at hand in `main` whose key is in the answer of `query`."""

    def here(self, table: str, column: str, ids: str) -> str:
        """A query for those of `ids` (a query for `id`) that the store has in `column`."""
        there = f'SELECT 1 FROM main."{table}" o WHERE o."{column}" = e.id'
        return f"SELECT id FROM ({ids}) e WHERE EXISTS ({there})"

    def problem(self, table: str) -> Optional[Problem]:
        """What judges rows of a table; None where every row fits, as SQLite limits nothing."""
        return None

    def same_name(self, name: str) -> str:
        """Equal for two names that the store takes for the same; see `exact`."""
        return name

    def close(self) -> None:
        self.database.close()


def open_ours(location: Location, *, dry_run: bool = False) -> Ours:
    """Raises StoreError where there is no MLflow store. With `dry_run` nothing is ever written."""
    file = as_file(location)
    if file is None:
        from remote.tracking.merge.elsewhere.database import open_database

        return open_database(str(location), dry_run=dry_run)
    if not is_store(file):
        raise StoreError(f"{file} isn't an MLflow store.")
    if dry_run:
        from remote.tracking.merge.elsewhere.file import open_for_reading

        return open_for_reading(file)
    url = file.resolve().as_uri() + "?mode=rw"
    database = sqlite3.connect(url, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None)
    database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    return Ours(database)


def as_file(location: Location) -> Optional[Path]:
    """The SQLite file, None where the store is another database."""
    return location if isinstance(location, Path) else sqlite_file(location)
