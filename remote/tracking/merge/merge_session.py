"""One merge while it runs: the connection on store, base and delta, and what was found so far."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence

from remote.errors import StoreError
from remote.tracking import schema
from remote.tracking.delta import FORMAT
from remote.tracking.merge import base as bases
from remote.tracking.merge.artifact_paths import PLACES
from remote.tracking.merge.local_store import LocalStore
from remote.tracking.merge.summary import Conflict, Refusal
from remote.tracking.store import columns_of

Progress = Callable[[int, int], None]
"""Told after each part: how much is done, and of how much, in rows and things."""


@dataclass
class MergeSession:
    store: LocalStore
    artifact_root: Path
    source: str
    progress: Optional[Progress] = None
    agreed: bool = False
    """What is here is what the other side last saw."""
    beside: bool = False
    """The delta was written together with another, which was merged just before."""
    roots: List[str] = field(default_factory=list)
    places: List[str] = field(default_factory=list)
    """The folders below the roots that artifacts may lie in."""
    shared: Dict[str, List[str]] = field(default_factory=dict)
    """Of each table that both sides have: the columns that both have."""
    conflicts: List[Conflict] = field(default_factory=list)
    refused: List[Refusal] = field(default_factory=list)
    new: Dict[str, int] = field(default_factory=dict)
    """How many rows of each kind's own table came in."""
    metric_rows: int = 0
    marked: List[str] = field(default_factory=list)
    """The runs that were deleted there and are here."""
    accepted_again: bool = False
    """Something that was refused before is here now: its older rows were never sent."""
    done: int = 0
    total: int = 0

    @property
    def database(self) -> sqlite3.Connection:
        return self.store.database

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What is counted in it counts only with its commit."""
        conflicts, refused, marked = len(self.conflicts), len(self.refused), len(self.marked)
        new, metric_rows, again = dict(self.new), self.metric_rows, self.accepted_again
        try:
            with self.store.transaction():
                yield
        except BaseException:
            del self.conflicts[conflicts:], self.refused[refused:], self.marked[marked:]
            self.new, self.metric_rows, self.accepted_again = new, metric_rows, again
            raise

    def advance(self, amount: int) -> None:
        self.done += amount
        if self.progress:
            self.progress(self.done, self.total)

    def refuse(self, kind: str, identity: object, reason: str) -> None:
        self.refused.append(Refusal(kind, str(identity), reason))

    def tables(self, names: Sequence[schema.Table]) -> List[schema.Table]:
        """Those that both sides have."""
        return [table for table in names if table.name in self.shared]

    def ids(self, query: str) -> List[Any]:
        return [row[0] for row in self.database.execute(query)]


def attach(
    store: LocalStore, delta: Path, *, artifact_root: Path, base: Path, source: str
) -> MergeSession:
    """Attaches `base` (made if missing) and `delta` to the store."""
    base.parent.mkdir(parents=True, exist_ok=True)
    database = store.database
    # The delta comes from another machine: nothing in its schema may call functions.
    database.execute("PRAGMA trusted_schema = OFF")
    database.execute("ATTACH ? AS base", (base.resolve().as_uri() + "?mode=rwc",))
    database.execute("ATTACH ? AS delta", (delta.resolve().as_uri() + "?mode=rw",))
    session = MergeSession(store, artifact_root, source)
    _read_meta(session, delta)
    _index(session)
    return session


def _read_meta(session: MergeSession, delta: Path) -> None:
    tables = ("meta", "entities", "gone", "experiments", "runs")
    if not all(columns_of(session.database, "delta", name) for name in tables):
        raise StoreError(f"{delta} isn't a delta of an MLflow store.")
    if bases.get(session.database, "format", "delta") is None:
        raise StoreError(f"{delta} isn't a whole delta.", "Pull again.")
    if bases.get(session.database, "format", "delta") != FORMAT:
        raise StoreError(f"{delta} was written by another version of the toolkit.")
    roots = bases.get(session.database, "roots", "delta")
    session.roots = [root for root in roots if isinstance(root, str) and root.startswith("/")]
    session.places = [*PLACES, *(bases.get(session.database, "places", "delta") or [])]
    for table in schema.TABLES:
        theirs = columns_of(session.database, "delta", table.name)
        ours = columns_of(session.database, "main", table.name)
        if set(table.key) <= set(theirs) & set(ours):
            session.shared[table.name] = [name for name in ours if name in theirs]


def _index(session: MergeSession) -> None:
    """Rows are looked up by what they hang on, some things at a time; and what is to do counted."""
    (session.total,) = session.database.execute("SELECT count(*) FROM delta.entities").fetchone()
    for table in session.tables(schema.TABLES):
        if table.rule != schema.APPEND:
            session.database.execute(
                f'CREATE INDEX IF NOT EXISTS delta."of_{table.name}"'
                f' ON "{table.name}" ("{table.owner_column}")'
            )
        elif table.name != "datasets":
            session.total += session.ids(
                f'SELECT coalesce(max(rowid), 0) FROM delta."{table.name}"'
            )[0]


def left_out(session: MergeSession) -> tuple[str, ...]:
    """Tables and columns that have content there and no place here."""
    names = list(bases.get(session.database, "left_out", "delta") or [])
    for table in schema.TABLES:
        theirs = columns_of(session.database, "delta", table.name)
        if theirs and table.name not in session.shared:
            names += [table.name] if _has(session, table.name, "1") else []
            continue
        ours = columns_of(session.database, "main", table.name, computed=True)
        names += [
            f"{table.name}.{name}"
            for name in sorted(set(theirs) - set(ours) - {"workspace"})
            if _has(session, table.name, f'"{name}" IS NOT NULL')
        ]
    return tuple(str(name) for name in names)


def _has(session: MergeSession, table: str, condition: str) -> bool:
    query = f'SELECT EXISTS (SELECT 1 FROM delta."{table}" WHERE {condition})'
    return bool(session.database.execute(query).fetchone()[0])
