"""What was written to one MLflow server: a SQLite file in the project's `.remote/exports/`.

    meta      format, and which store and server it is about
    entity    a run, model or experiment: its id here and on the server ('' once the server has
              deleted it for good), the signature of its rows and files when it was sent whole, and
              up to which row of the metrics table its history was sent
    written   its fields and files: each value that may be on the server because we sent it

Values are noted before a request (`settled` 0) and again after it, so an export that is killed in
between knows its own values again. Without the record everything is compared with the server:
nothing is doubled, and of what differs the server's is kept.
"""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, FrozenSet, Iterable, Mapping, Optional, Set, Tuple

from remote.errors import StoreError

_FORMAT = 1
_TABLES = f"""
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
INSERT OR IGNORE INTO meta VALUES ('format', '{_FORMAT}'), ('sides', '');
CREATE TABLE IF NOT EXISTS entity
    (kind TEXT, id TEXT, server_id TEXT NOT NULL, signature TEXT DEFAULT '',
     last_row INTEGER DEFAULT 0, metric_rows INTEGER DEFAULT 0, under_way INTEGER DEFAULT 1,
     PRIMARY KEY (kind, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS written
    (kind TEXT, id TEXT, field TEXT, value TEXT, settled INTEGER,
     PRIMARY KEY (kind, id, field, value)) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Written:
    """What the record knows of one field.

    `values` are those that may be on the server because we sent them: more than one where an export
    was stopped between the request and its answer. `settled` says that one surely arrived.
    """

    values: FrozenSet[str] = frozenset()
    settled: bool = False


@dataclass(frozen=True)
class SentMetrics:
    """The `rows` rows up to `last_row` were sent; more of them, perhaps, where `under_way`."""

    last_row: int = 0
    rows: int = 0
    under_way: bool = True


@dataclass(frozen=True)
class SentEntity:
    """`server_id` is None for one that was never sent, empty where the server has deleted it."""

    server_id: Optional[str] = None
    signature: str = ""
    metrics: SentMetrics = SentMetrics()


class ExportRecord:
    """An open record; each method that writes is one transaction."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self.close = database.close

    def begin_for(self, sides: str) -> bool:
        """Forget all that was written between another store and server; True where that is new."""
        query = "SELECT value FROM meta WHERE key = 'sides'"
        if self._database.execute(query).fetchone() == (sides,):
            return False
        with self._database:
            self._database.execute("DELETE FROM entity")
            self._database.execute("DELETE FROM written")
            self._database.execute("UPDATE meta SET value = ? WHERE key = 'sides'", (sides,))
        return True

    def entity(self, kind: str, identity: str) -> SentEntity:
        row = self._database.execute(
            "SELECT server_id, signature, last_row, metric_rows, under_way FROM entity"
            " WHERE kind = ? AND id = ?",
            (kind, identity),
        ).fetchone()
        if row is None:
            return SentEntity()
        return SentEntity(row[0], row[1], SentMetrics(row[2], row[3], bool(row[4])))

    def server_id(self, kind: str, identity: str) -> str:
        """Empty where it isn't on the server."""
        return self.entity(kind, identity).server_id or ""

    def place(self, kind: str, identity: str, server_id: str) -> None:
        """Remember the id on the server; `finish` says when all of it is there."""
        self._write(
            "INSERT INTO entity (kind, id, server_id) VALUES (?, ?, ?)"
            " ON CONFLICT (kind, id) DO UPDATE SET server_id = excluded.server_id",
            (kind, identity, server_id),
        )

    def finish(self, kind: str, identity: str, signature: str) -> None:
        self._write(
            "UPDATE entity SET signature = ? WHERE kind = ? AND id = ?", (signature, kind, identity)
        )

    def sent_metrics(self, run_id: str, sent: SentMetrics) -> None:
        self._write(
            "UPDATE entity SET last_row = ?, metric_rows = ?, under_way = ?"
            " WHERE kind = 'run' AND id = ?",
            (sent.last_row, sent.rows, sent.under_way, run_id),
        )

    def written(self, kind: str, identity: str) -> Dict[str, Written]:
        """By the names of the fields."""
        values: Dict[str, Set[str]] = {}
        settled: Set[str] = set()
        for name, value, done in self._database.execute(
            "SELECT field, value, settled FROM written WHERE kind = ? AND id = ?", (kind, identity)
        ):
            values.setdefault(name, set()).add(value)
            settled.update([name] if done else [])
        return {name: Written(frozenset(values[name]), name in settled) for name in values}

    def announce(self, kind: str, identity: str, fields: Mapping[str, str]) -> None:
        """These values are about to be sent."""
        self._write(
            "INSERT OR IGNORE INTO written VALUES (?, ?, ?, ?, 0)",
            *((kind, identity, name, value) for name, value in fields.items()),
        )

    def settle(
        self, kind: str, identity: str, fields: Mapping[str, str], removed: Iterable[str] = ()
    ) -> None:
        """The server has these values, and no longer the fields that were removed."""
        with self._database:
            self._database.executemany(
                "DELETE FROM written WHERE kind = ? AND id = ? AND field = ?",
                [(kind, identity, name) for name in (*fields, *removed)],
            )
            self._database.executemany(
                "INSERT INTO written VALUES (?, ?, ?, ?, 1)",
                [(kind, identity, name, value) for name, value in fields.items()],
            )

    def _write(self, query: str, *rows: Tuple[object, ...]) -> None:
        with self._database:
            self._database.executemany(query, rows)


def open_record(path: Path) -> ExportRecord:
    """The record at `path`, a new one where there is none.

    A damaged one, or one of another format, is moved to `….damaged` and counts as lost: it is safe
    to go on without it. Raises StoreError where another export holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _opened(path)
    except sqlite3.OperationalError as error:
        raise StoreError(f"The record of exports {path} can't be used: {error}") from error
    except sqlite3.DatabaseError:
        for suffix in ("", "-journal"):
            if Path(f"{path}{suffix}").exists():
                os.replace(f"{path}{suffix}", f"{path}.damaged{suffix}")
        return _opened(path)


def _opened(path: Path) -> ExportRecord:
    database = sqlite3.connect(str(path), timeout=60)
    try:
        if database.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise sqlite3.DatabaseError("damaged")
        database.executescript(_TABLES)
        query = "SELECT value FROM meta WHERE key = 'format'"
        if database.execute(query).fetchone() != (str(_FORMAT),):
            raise sqlite3.DatabaseError("another format")
        return ExportRecord(database)
    except BaseException:
        database.close()
        raise
