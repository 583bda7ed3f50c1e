"""What was uploaded to one server from one source: a SQLite file, written by the upload alone.

    meta        format, source, server (which one, see `identity`), token, watermarks, mark
    entity      things that are wholly there, with the signature of their rows at the source
                (NULL: gone at the source)
    refused     those that were left out
    experiment  experiments there -> here, when the source's was made, its name at the last upload,
                and the one that it was given here
    made        runs, models and traces there -> here, where their artifacts go, whether the server
                has deleted them for good; `ours` is NULL while one is being made
    value       what was last written of a thing, field by field, and what is being written
    sent        how many rows of metrics were sent of a thing, and a hash over them
    dataset     datasets of the source, which later runs may use
    artifact    folders that were named to the caller and not yet sent
    file        files sent

It may be lost: then everything is compared, and where both sides differ, the server's is kept.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remote.upload.fields import Known

FORMAT = "upload 1"
_TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entity
    (kind TEXT, id TEXT, signature TEXT, PRIMARY KEY (kind, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refused (kind TEXT, id TEXT, PRIMARY KEY (kind, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS experiment
    (theirs INTEGER PRIMARY KEY, created INTEGER, ours TEXT, last_name TEXT, given_name TEXT);
CREATE TABLE IF NOT EXISTS made (kind TEXT, theirs TEXT, ours TEXT, experiment TEXT,
    artifacts TEXT, gone INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (kind, theirs)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS value (kind TEXT, id TEXT, field TEXT, value TEXT, next TEXT,
    PRIMARY KEY (kind, id, field)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sent (kind TEXT, id TEXT, total INTEGER, total_hash TEXT,
    recent INTEGER, recent_hash TEXT, PRIMARY KEY (kind, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS dataset (theirs TEXT PRIMARY KEY, content TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS artifact
    (local TEXT PRIMARY KEY, remote TEXT, kind TEXT, id TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS file (kind TEXT, id TEXT, path TEXT, size INTEGER, mtime INTEGER,
    digest TEXT, PRIMARY KEY (kind, id, path)) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Made:
    """A run, model or trace of the source on the server."""

    ours: str | None
    experiment: str
    artifacts: str
    gone: bool


class Base:
    """An open base. Every method commits, unless within `together`."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.database = sqlite3.connect(str(path), timeout=60, isolation_level=None)
        # Many small transactions, each of them safe on the disk: one write each instead of four.
        self.database.execute("PRAGMA journal_mode = WAL")
        self.database.executescript(_TABLES)

    def close(self) -> None:
        self.database.close()

    @contextmanager
    def together(self) -> Iterator[None]:
        self.database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.database.execute("ROLLBACK")
            raise
        self.database.execute("COMMIT")

    def get(self, key: str) -> Any:
        row = self.one("SELECT value FROM meta WHERE key = ?", key)
        return json.loads(row[0]) if row else None

    def put(self, key: str, value: object) -> None:
        if self.get(key) != value:
            self.run("INSERT OR REPLACE INTO meta VALUES (?, ?)", key, json.dumps(value))

    def run(self, query: str, *values: object) -> sqlite3.Cursor:
        return self.database.execute(query, values)

    def one(self, query: str, *values: object) -> Any:
        return self.database.execute(query, values).fetchone()

    def made(self, kind: str, theirs: str) -> Made | None:
        row = self.one(
            "SELECT ours, experiment, artifacts, gone FROM made WHERE kind = ? AND theirs = ?",
            kind,
            theirs,
        )
        return Made(row[0], row[1], row[2], bool(row[3])) if row else None

    def ours(self, kind: str, theirs: object) -> str | None:
        """Its id on the server; None for one that isn't there."""
        made = self.made(kind, str(theirs))
        return made.ours if made and not made.gone else None

    def begin(self, kind: str, theirs: str, values: Mapping[str, Any]) -> None:
        """It is about to be made, with these values."""
        with self.together():
            self.run("INSERT OR IGNORE INTO made (kind, theirs) VALUES (?, ?)", kind, theirs)
            self._next(kind, theirs, values)

    def finish(self, kind: str, theirs: str, made: Made, values: Mapping[str, Any]) -> None:
        """It was made (or found); `values` are those it was made with, none if it was found."""
        with self.together():
            self.run(
                "INSERT OR REPLACE INTO made VALUES (?, ?, ?, ?, ?, 0)",
                kind,
                theirs,
                made.ours,
                made.experiment,
                made.artifacts,
            )
            self._settle(kind, theirs, values)

    def lose(self, kind: str, theirs: str) -> None:
        """The server has deleted it for good."""
        with self.together():
            self.run("UPDATE made SET gone = 1 WHERE kind = ? AND theirs = ?", kind, theirs)
            self.run("DELETE FROM artifact WHERE kind = ? AND id = ?", kind, theirs)

    def values(self, kind: str, theirs: str) -> dict[str, Known]:
        rows = self.run(
            "SELECT field, value, next FROM value WHERE kind = ? AND id = ?", kind, theirs
        )
        return {field: Known(_read(value), _read(following)) for field, value, following in rows}

    def settled(self, kind: str, theirs: str) -> dict[str, Any]:
        """What was last written; without the fields that were being written."""
        rows = self.run(
            "SELECT field, value FROM value WHERE kind = ? AND id = ? AND next IS NULL",
            kind,
            theirs,
        )
        return {field: json.loads(value) for field, value in rows}

    def writing(self, kind: str, theirs: str, values: Mapping[str, Any]) -> None:
        with self.together():
            self._next(kind, theirs, values)

    def settle(
        self, kind: str, theirs: str, values: Mapping[str, Any], gone: Iterable[str] = ()
    ) -> None:
        """`values` are now what the source has, and `gone` the fields it has no more."""
        with self.together():
            self._settle(kind, theirs, values)
            for field in gone:
                self.run(
                    "DELETE FROM value WHERE kind = ? AND id = ? AND field = ?", kind, theirs, field
                )

    def _next(self, kind: str, theirs: str, values: Mapping[str, Any]) -> None:
        for field, value in values.items():
            self.run(
                "INSERT OR IGNORE INTO value (kind, id, field) VALUES (?, ?, ?)",
                kind,
                theirs,
                field,
            )
            self.run(
                "UPDATE value SET next = ? WHERE kind = ? AND id = ? AND field = ?",
                json.dumps(value),
                kind,
                theirs,
                field,
            )

    def _settle(self, kind: str, theirs: str, values: Mapping[str, Any]) -> None:
        self.database.executemany(
            "INSERT OR REPLACE INTO value VALUES (?, ?, ?, ?, NULL)",
            [(kind, theirs, field, json.dumps(value)) for field, value in values.items()],
        )

    def was_gone(self, kind: str, theirs: str) -> bool:
        query = "SELECT 1 FROM entity WHERE kind = ? AND id = ? AND signature IS NULL"
        return self.one(query, kind, theirs) is not None

    def record(self, kind: str, theirs: str, signature: str) -> bool:
        """All of it is there; True if it had been refused before.

        An empty signature (the store's rows weren't looked through) leaves the known one.
        """
        if signature:
            self.run("INSERT OR REPLACE INTO entity VALUES (?, ?, ?)", kind, theirs, signature)
        else:
            # Known, so that it is told when it is gone there.
            self.run("INSERT OR IGNORE INTO entity VALUES (?, ?, '')", kind, theirs)
        again = self.run("DELETE FROM refused WHERE kind = ? AND id = ?", kind, theirs)
        return again.rowcount > 0


def _read(text: str | None) -> tuple[Any, ...]:
    return () if text is None else (json.loads(text),)
