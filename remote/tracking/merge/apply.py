"""Applies a delta to the local store, some things at a time."""

from __future__ import annotations

import os
import secrets
import sqlite3
from contextlib import closing, nullcontext
from pathlib import Path
from typing import List, Optional, Sequence

from remote.errors import StoreError
from remote.tracking import schema
from remote.tracking.merge import base as bases
from remote.tracking.merge import merge_sql, stage
from remote.tracking.merge.conflicts import note
from remote.tracking.merge.experiment_map import place_experiments
from remote.tracking.merge.incoming import (
    Incoming,
    accept,
    list_present,
    place_versions,
    references_exist,
)
from remote.tracking.merge.local_store import open_local_store
from remote.tracking.merge.merge_session import MergeSession, Progress, attach, left_out
from remote.tracking.merge.summary import ArtifactFolder, Conflict, MergeSummary

BATCH = 500
"""Runs, models, traces … per transaction."""

DELETED_THERE = "remote.deleted_on"
"""The tag of a run that is kept here though it was deleted on the target that it names."""


def merge(
    delta: Path,
    *,
    store: Path,
    artifact_root: Path,
    base: Path,
    source: str,
    progress: Optional[Progress] = None,
    agreed: bool = False,
    beside: bool = False,
    dry_run: bool = False,
) -> MergeSummary:
    """Applies `delta` to `store` and remembers in `base` what was pulled from `source`.

    `agreed` says that whoever made the delta has seen what is here: what differs was changed there.
    `beside` says that it was written together with another, which was merged just before.
    Committed in parts; stopped anywhere, the next pull does the rest. With `dry_run` store and base
    stay as they are, and the summary says what would be done. Raises StoreError.
    """
    root = Path(os.path.abspath(str(artifact_root)))
    try:
        with bases.throw_away(base) if dry_run else nullcontext(base) as used:
            with closing(open_local_store(store, dry_run=dry_run)) as local_store:
                bases.make_usable(used, bases.store_identity(local_store.database))
                session = attach(local_store, delta, artifact_root=root, base=used, source=source)
                session.progress, session.agreed, session.beside = progress, agreed, beside
                summary = _merge(session)
        if not dry_run:
            bases.back_up(base)
        return summary
    except sqlite3.Error as error:
        raise StoreError(
            f"The records of {source} can't be merged into {store}: {error}"
        ) from error


def _merge(session: MergeSession) -> MergeSummary:
    stage.prepare(session)
    with session.transaction():
        bases.prepare(session.database, session.source)
        _refuse_stale(session)
        _begin(session)
        changed = place_experiments(session)
        _merge_owned(session, schema.EXPERIMENT, [(identity, None) for identity in changed])
        stage.append_datasets(session)
    session.advance(len(changed))
    for kind in schema.KINDS.values():
        if kind.name not in (schema.EXPERIMENT, schema.ASSOCIATION):
            _merge_kind(session, kind)
    with session.transaction():
        list_present(session)
    _merge_kind(session, schema.KINDS[schema.ASSOCIATION])
    stage.append_rows(session)
    with session.transaction():
        _finish(session)
    return _summary(session)


def _refuse_stale(session: MergeSession) -> None:
    # A delta of everything fits a base that knows nothing. On top of what was pulled since, it would
    # bring back what has gone: SQLite gives the number of an experiment that is gone to the next.
    since = bases.get(session.database, "since", "delta")
    if since != bases.get(session.database, "token") and not session.beside:
        raise StoreError("The delta doesn't follow what was pulled last.", "Pull again.")


def _begin(session: MergeSession) -> None:
    """From now on, a delta that was written before this one doesn't follow."""
    if session.ids("SELECT 1 FROM delta.entities LIMIT 1"):
        bases.put(session.database, "token", secrets.token_hex(8))


def _merge_kind(session: MergeSession, kind: schema.Kind) -> None:
    with session.transaction():
        accepted = accept(session, kind)
        if kind.name == schema.ASSOCIATION:
            accepted = _with_both_ends(session, accepted)
    for start in range(0, len(accepted), BATCH):
        part = accepted[start : start + BATCH]
        with session.transaction():
            _merge_incoming(session, kind, part)
        session.advance(len(part))


def _with_both_ends(session: MergeSession, accepted: List[Incoming]) -> List[Incoming]:
    table = schema.table_of("entity_associations")
    if table.name not in session.shared:
        return []
    linked = set(
        session.ids(
            f"SELECT association_id FROM delta.entity_associations d WHERE {references_exist(table)}"
        )
    )
    return [incoming for incoming in accepted if incoming.id in linked]


def _merge_owned(session: MergeSession, kind: str, things: Sequence[tuple[object, object]]) -> None:
    """Merge all rows of some things, named by their local ids, three-way."""
    stage.batch(session, things)
    if kind == schema.REGISTERED_MODEL:
        place_versions(session)
    for table in session.tables(schema.rows_of(kind)):
        stage.stage(session, table)
    for table in session.tables(schema.rows_of(kind)):
        _merge_table(session, table)


def _merge_table(session: MergeSession, table: schema.Table) -> None:
    columns = session.shared[table.name]
    run = session.database.execute
    if table.rule == schema.LATEST:
        run(merge_sql.take_later(table, columns))
        return
    if table.rule == schema.REPLACE:
        run(merge_sql.replace(table, columns))
    else:
        _merge_three_way(session, table, columns)
    inserted = run(merge_sql.insert_new(table, columns)).rowcount
    if table.name in (schema.KINDS[table.owner].table, "model_versions"):
        session.new[table.name] = session.new.get(table.name, 0) + inserted
    if table.rule == schema.THREE_WAY:
        for statement in merge_sql.rebase(table, columns):
            run(statement)


def _merge_three_way(session: MergeSession, table: schema.Table, columns: Sequence[str]) -> None:
    if session.agreed and table.owner != schema.EXPERIMENT:
        session.database.execute(merge_sql.agree(table, columns))
    questions = list(merge_sql.ask_conflicts(table, columns))
    if table.droppable:
        questions.append(merge_sql.ask_removed(table, columns))
    for question in questions:
        for *key, ours, theirs in session.database.execute(question.query).fetchall():
            conflict = Conflict.of(table, key, question.column, ours, theirs)
            session.conflicts.append(conflict)
            note(session.database, table.name, key, question.column)
    for statement in merge_sql.take_theirs(table, columns):
        # A name may be free only when another experiment has given it up.
        while session.database.execute(statement).rowcount > 0 and table.name == "experiments":
            pass
    if table.droppable:
        session.database.execute(merge_sql.drop_removed(table, columns))


def _merge_incoming(session: MergeSession, kind: schema.Kind, part: Sequence[Incoming]) -> None:
    _merge_owned(session, kind.name, [(incoming.id, incoming.experiment) for incoming in part])
    alive = set(
        session.ids(
            f'SELECT id FROM temp.batch WHERE id IN (SELECT "{kind.column}" FROM main."{kind.table}")'
        )
    )
    run = session.database.execute
    incomplete = set(session.ids("SELECT name FROM temp.excluded"))
    for incoming in part:
        if kind.name == schema.RUN:
            _unmark(session, incoming.id)
        # Without a signature of it, a thing is sent again.
        signature = "" if kind.optional and incoming.id in incomplete else incoming.signature
        run(
            "INSERT OR REPLACE INTO base.entity VALUES (?, ?, ?)",
            (kind.name, incoming.id, signature),
        )
        if incoming.id in alive and incoming.artifacts:
            folder = (incoming.artifacts.local, incoming.artifacts.remote)
            run("INSERT OR REPLACE INTO base.artifact VALUES (?, ?)", folder)
        again = run("DELETE FROM base.refused WHERE kind = ? AND id = ?", (kind.name, incoming.id))
        session.accepted_again = session.accepted_again or again.rowcount > 0


def _unmark(session: MergeSession, run: object) -> None:
    """A run that was gone there may be there again."""
    session.database.execute(
        "DELETE FROM main.tags WHERE key = ? AND run_uuid = ? AND value = ?",
        (DELETED_THERE, run, session.source),
    )


def _finish(session: MergeSession) -> None:
    """Only now: stopped before, the next delta starts from the old watermarks again."""
    run = session.database.execute
    session.database.executemany(
        "INSERT OR IGNORE INTO base.refused VALUES (?, ?)",
        [(refusal.kind, refusal.id) for refusal in session.refused if refusal.kind in schema.KINDS],
    )
    _mark_the_gone(session)
    gone = run(
        "UPDATE base.entity SET signature = NULL WHERE signature IS NOT NULL"
        " AND (kind, CAST(id AS TEXT)) IN (SELECT kind, CAST(id AS TEXT) FROM delta.gone)"
    )
    marks = bases.get(session.database, "watermarks", "delta")
    marks = {} if session.accepted_again else marks
    arrived = run("SELECT EXISTS (SELECT 1 FROM delta.entities)").fetchone()[0]
    if arrived or gone.rowcount or marks != bases.get(session.database, "watermarks"):
        bases.put(session.database, "watermarks", marks)
        bases.put(session.database, "token", secrets.token_hex(8))
    refused = run("SELECT EXISTS (SELECT 1 FROM base.refused)").fetchone()[0]
    mark = bases.get(session.database, "mark", "delta")
    bases.put(session.database, "mark", None if refused or session.accepted_again else mark)


def _mark_the_gone(session: MergeSession) -> None:
    """Runs that were pulled and are no longer there are kept; a tag says so."""
    gone = session.ids(
        "SELECT e.id FROM base.entity e JOIN delta.gone g ON g.kind = e.kind AND g.id = e.id"
        " WHERE e.kind = 'run' AND e.signature IS NOT NULL"
    )
    for identity in gone:
        done = session.database.execute(
            "INSERT OR IGNORE INTO main.tags (key, value, run_uuid)"
            " SELECT ?, ?, run_uuid FROM main.runs WHERE run_uuid = ?",
            (DELETED_THERE, session.source, identity),
        )
        session.marked += [str(identity)] if done.rowcount else []


def _summary(session: MergeSession) -> MergeSummary:
    touched = session.ids(
        "SELECT id FROM temp.touched WHERE id IN (SELECT run_uuid FROM main.runs) ORDER BY id"
    )
    folders = session.database.execute("SELECT remote, local FROM base.artifact ORDER BY local")
    new = session.new
    return MergeSummary(
        new_runs=new.get("runs", 0),
        grown_runs=len(set(touched) - set(session.marked)) - new.get("runs", 0),
        new_experiments=new.get("experiments", 0),
        new_models=new.get("logged_models", 0),
        new_traces=new.get("trace_info", 0),
        new_versions=new.get("model_versions", 0),
        metric_rows=session.metric_rows,
        conflicts=tuple(session.conflicts),
        refused=tuple(dict.fromkeys(session.refused)),
        left_out=left_out(session),
        deleted_there=tuple(session.marked),
        run_ids=tuple(str(identity) for identity in touched),
        artifacts=tuple(ArtifactFolder(*row) for row in folders),
    )
