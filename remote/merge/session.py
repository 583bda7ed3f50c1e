"""One merge while it runs: the connection on store, base and delta, and what was found so far."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from remote.errors import StoreError
from remote.host import schema
from remote.host.delta import FORMAT
from remote.merge import base as bases
from remote.merge.summary import Conflict, Refusal

BUSY_TIMEOUT = 60.0  # seconds
_CACHE_KIB = 32 * 1024


@dataclass
class Session:
    database: sqlite3.Connection
    artifact_root: Path
    source: str
    roots: list[str] = field(default_factory=list)
    shared: dict[str, list[str]] = field(default_factory=dict)
    """Of each table that both sides have: the columns that both have."""
    conflicts: list[Conflict] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    new_runs: int = 0
    new_experiments: int = 0
    metric_rows: int = 0
    accepted_again: bool = False
    """Something that was refused before is here now: its older rows were never sent."""

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One commit over store and base.

        SQLite makes it atomic with a super-journal; where the store is in WAL mode, it commits the
        store first. A base that lags behind is repaired by the next pull.
        """
        self.database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.database.execute("ROLLBACK")
            raise
        self.database.execute("COMMIT")

    def refuse(self, kind: str, identity: object, reason: str) -> None:
        self.refused.append(Refusal(kind, str(identity), reason))

    def tables(self, names: Sequence[schema.Table]) -> list[schema.Table]:
        """Those that both sides have."""
        return [table for table in names if table.name in self.shared]

    def ids(self, query: str) -> list[object]:
        return [row[0] for row in self.database.execute(query)]


def open_session(
    delta: Path, *, store: Path, artifact_root: Path, base: Path, source: str
) -> Session:
    """Attaches `base` (made if missing) and `delta` to the store. The caller closes it."""
    base.parent.mkdir(parents=True, exist_ok=True)
    url = store.resolve().as_uri() + "?mode=rw"
    database = sqlite3.connect(url, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None)
    try:
        database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        # The delta comes from another machine: nothing in its schema may call functions.
        database.execute("PRAGMA trusted_schema = OFF")
        database.execute("ATTACH ? AS base", (base.resolve().as_uri() + "?mode=rwc",))
        database.execute("ATTACH ? AS delta", (delta.resolve().as_uri() + "?mode=ro",))
        session = Session(database, artifact_root, source)
        _read_meta(session, delta)
        return session
    except BaseException:
        database.close()
        raise


def _read_meta(session: Session, delta: Path) -> None:
    tables = ("meta", "entities", "gone", "experiments", "runs")
    if not all(bases.columns(session.database, "delta", name) for name in tables):
        raise StoreError(f"{delta} isn't a delta of an MLflow store.")
    if bases.get(session.database, "format", "delta") != FORMAT:
        raise StoreError(f"{delta} was written by another version of the toolkit.")
    roots = bases.get(session.database, "roots", "delta")
    session.roots = [root for root in roots if isinstance(root, str) and root.startswith("/")]
    for table in schema.TABLES:
        theirs = bases.columns(session.database, "delta", table.name)
        ours = bases.columns(session.database, "main", table.name)
        if set(table.key) <= set(theirs) & set(ours):
            session.shared[table.name] = [name for name in ours if name in theirs]


def left_out(session: Session) -> tuple[str, ...]:
    """Tables and columns that have content there and no place here."""
    found = list(bases.get(session.database, "left_out", "delta") or [])
    for table in schema.TABLES:
        theirs = bases.columns(session.database, "delta", table.name)
        if theirs and table.name not in session.shared:
            found += [table.name] if _has(session, table.name, "1") else []
            continue
        foreign = set(theirs) - set(session.shared.get(table.name, [])) - {"workspace"}
        found += [
            f"{table.name}.{name}"
            for name in sorted(foreign)
            if _has(session, table.name, f'"{name}" IS NOT NULL')
        ]
    return tuple(str(name) for name in found)


def _has(session: Session, table: str, condition: str) -> bool:
    query = f'SELECT EXISTS (SELECT 1 FROM delta."{table}" WHERE {condition})'
    return bool(session.database.execute(query).fetchone()[0])
