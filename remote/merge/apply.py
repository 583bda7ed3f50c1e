"""Applies a delta to the local store, some runs at a time."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from remote.errors import StoreError
from remote.host import schema
from remote.host.store import is_store
from remote.merge import append
from remote.merge import base as bases
from remote.merge import sql, stage
from remote.merge.paths import artifacts_below, is_safe_id
from remote.merge.place import place_experiments
from remote.merge.session import Session, left_out, open_session
from remote.merge.summary import ArtifactFolder, Conflict, MergeSummary

BATCH = 500
"""Runs per transaction."""


@dataclass(frozen=True)
class _Arrival:
    """A run or model that is taken: its folder there and here, and its rows' signature."""

    id: str
    signature: str
    artifacts: ArtifactFolder


def merge(
    delta: Path, *, store: Path, artifact_root: Path, base: Path, source: str
) -> MergeSummary:
    """Applies `delta` to `store` and remembers in `base` what was pulled from `source`.

    Committed in parts; stopped anywhere, the next pull does the rest. Raises StoreError.
    """
    if not is_store(store):
        raise StoreError(f"{store} isn't an MLflow store.")
    if base.exists() and not bases.is_usable(base, store):
        bases.set_aside(base)
    root = artifact_root.absolute()
    try:
        session = open_session(delta, store=store, artifact_root=root, base=base, source=source)
        with closing(session.database):
            return _merge(session)
    except sqlite3.Error as error:
        raise StoreError(
            f"The records of {source} can't be merged into {store}: {error}"
        ) from error


def _merge(session: Session) -> MergeSummary:
    stage.prepare(session)
    with session.transaction():
        bases.prepare(session.database, session.source)
        _refuse_stale(session)
        changed = place_experiments(session)
        _merge_owned(session, schema.EXPERIMENT, changed)
        append.append_datasets(session)
    for kind in (schema.RUN, schema.MODEL):
        arrivals = _arrivals(session, kind)
        for start in range(0, len(arrivals), BATCH):
            with session.transaction():
                _merge_arrivals(session, kind, arrivals[start : start + BATCH])
    append.append_rows(session)
    with session.transaction():
        _finish(session)
    return _summary(session)


def _refuse_stale(session: Session) -> None:
    since = bases.get(session.database, "since", "delta")
    if since is not None and since != bases.get(session.database, "token"):
        raise StoreError("The delta doesn't follow what was pulled last.", "Pull again.")


def _merge_owned(session: Session, kind: str, ids: Sequence[object]) -> None:
    """The three-way merge of all rows of some experiments, runs or models (`ids` are local)."""
    stage.batch(session, ids)
    owner = schema.KINDS[kind].column
    where = f'd."{owner}" IN (SELECT id FROM temp.batch)'
    if kind == schema.EXPERIMENT:
        where = "d.experiment_id IN (SELECT p.theirs FROM temp.placement p)"
    for table in session.tables(schema.three_way(kind)):
        stage.stage(session, table, where)
        _merge_table(session, table)


def _merge_table(session: Session, table: schema.Table) -> None:
    columns = session.shared[table.name]
    run = session.database.execute
    if table.rule == schema.LATEST:
        run(sql.take_later(table, columns))
        return
    questions = list(sql.ask_conflicts(table, columns))
    if table.droppable:
        questions.append(sql.ask_removed(table, columns))
    for question in questions:
        session.conflicts += _conflicts(session, question)
    for statement in sql.take_theirs(table, columns):
        run(statement)
    if table.droppable:
        run(sql.drop_removed(table, columns))
    inserted = run(sql.insert_new(table, columns)).rowcount
    session.new_runs += inserted if table.name == "runs" else 0
    for statement in sql.rebase(table, columns):
        run(statement)


def _conflicts(session: Session, question: sql.Question) -> list[Conflict]:
    return [
        Conflict(question.table, str(key), question.column, ours, theirs)
        for key, ours, theirs in session.database.execute(question.query)
    ]


def _arrivals(session: Session, kind: str) -> list[_Arrival]:
    """The runs or models of the delta that may come in; the others are refused."""
    table = next(each for each in schema.three_way(kind))
    if table.name not in session.shared:
        return []
    key = schema.KINDS[kind].column
    rows = session.database.execute(
        f'SELECT d."{key}", e.signature, d."{table.path}", coalesce(o.experiment_id, p.ours),'
        f' EXISTS (SELECT 1 FROM base."{table.name}" b WHERE b."{key}" = d."{key}")'
        f' FROM delta."{table.name}" d JOIN delta.entities e ON e.kind = ? AND e.id = d."{key}"'
        " LEFT JOIN temp.placement p ON p.theirs = d.experiment_id"
        f' LEFT JOIN main."{table.name}" o ON o."{key}" = d."{key}"',
        (kind,),
    ).fetchall()
    found = (_arrival(session, kind, *row) for row in rows)
    return [arrival for arrival in found if arrival is not None]


def _arrival(
    session: Session,
    kind: str,
    identity: object,
    signature: object,
    location: object,
    experiment: int | None,
    pulled_before: int,
) -> _Arrival | None:
    if not isinstance(identity, str) or not is_safe_id(identity):
        session.refuse(kind, identity, "its id can't be part of a path")
        return None
    remote = artifacts_below(location, identity, roots=session.roots)
    if remote is None:
        session.refuse(kind, identity, f"its artifacts aren't in the target's mlruns: {location}")
        return None
    if experiment is None:
        # An experiment that was pulled and is gone for good here was deleted here.
        if not pulled_before:
            session.refuse(kind, identity, "its experiment isn't here")
        return None
    models = "models/" if kind == schema.MODEL else ""
    local = f"{session.artifact_root.name}/{experiment}/{models}{identity}/artifacts"
    return _Arrival(identity, str(signature), ArtifactFolder(remote, local))


def _merge_arrivals(session: Session, kind: str, arrivals: Sequence[_Arrival]) -> None:
    _merge_owned(session, kind, [arrival.id for arrival in arrivals])
    owner = schema.KINDS[kind]
    alive = set(
        session.ids(
            f"SELECT id FROM temp.batch WHERE id IN (SELECT {owner.column} FROM main.{owner.table})"
        )
    )
    run = session.database.execute
    for each in arrivals:
        run("INSERT OR REPLACE INTO base.entity VALUES (?, ?, ?)", (kind, each.id, each.signature))
        if each.id in alive:
            folder = (each.artifacts.local, each.artifacts.remote)
            run("INSERT OR REPLACE INTO base.artifact VALUES (?, ?)", folder)
        again = run("DELETE FROM base.refused WHERE kind = ? AND id = ?", (kind, each.id))
        session.accepted_again = session.accepted_again or again.rowcount > 0


def _finish(session: Session) -> None:
    """Only now: stopped before, the next delta starts from the old watermarks again."""
    run = session.database.execute
    session.database.executemany(
        "INSERT OR IGNORE INTO base.refused VALUES (?, ?)",
        [(each.kind, each.id) for each in session.refused],
    )
    gone = run(
        "DELETE FROM base.entity WHERE (kind, CAST(id AS TEXT)) IN"
        " (SELECT kind, CAST(id AS TEXT) FROM delta.gone)"
    )
    marks = bases.get(session.database, "watermarks", "delta")
    marks = {} if session.accepted_again else marks
    arrived = run("SELECT EXISTS (SELECT 1 FROM delta.entities)").fetchone()[0]
    if arrived or gone.rowcount or marks != bases.get(session.database, "watermarks"):
        bases.put(session.database, "watermarks", marks)
        bases.put(session.database, "token", secrets.token_hex(8))


def _summary(session: Session) -> MergeSummary:
    touched = session.ids(
        "SELECT id FROM temp.touched WHERE id IN (SELECT run_uuid FROM main.runs) ORDER BY id"
    )
    folders = session.database.execute("SELECT remote, local FROM base.artifact ORDER BY local")
    return MergeSummary(
        new_runs=session.new_runs,
        grown_runs=len(touched) - session.new_runs,
        new_experiments=session.new_experiments,
        metric_rows=session.metric_rows,
        conflicts=tuple(session.conflicts),
        refused=tuple(session.refused),
        left_out=left_out(session),
        run_ids=tuple(str(identity) for identity in touched),
        artifacts=tuple(ArtifactFolder(*row) for row in folders),
    )
