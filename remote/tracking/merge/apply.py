"""Applies a delta to the local store, some things at a time."""

from __future__ import annotations

import os
import secrets
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Callable, Iterable, List, Optional, Sequence, Tuple

from remote.errors import StoreError
from remote.files import is_absent
from remote.job.messages.records import ArtifactFolder
from remote.tracking import schema
from remote.tracking.merge import base as bases
from remote.tracking.merge import merge_sql, ownership, stage
from remote.tracking.merge.experiment_map import place_experiments
from remote.tracking.merge.incoming import (
    Incoming,
    accept,
    list_foreign,
    list_present,
    place_versions,
)
from remote.tracking.merge.merge_session import (
    BinnedRun,
    Conflict,
    MergeSession,
    MergeSummary,
)
from remote.tracking.revisions import revision_of

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
    progress: Optional[Callable[[int, int], None]] = None,
    agreed: Optional[bool] = None,
    dry_run: bool = False,
    theirs: bool = False,
) -> MergeSummary:
    """Applies `delta` to `store` and remembers in `base` what was pulled from `source`.

    `agreed` is for deltas that are given, one after the other on one base, not pulled: whether who
    made it has seen what is here, so that what differs was changed there. `progress` is told after
    each part how much is done, and of how much, in rows and things. `theirs` takes what is here and
    isn't the source's (see ownership), too.
    Committed in parts; stopped anywhere, the next pull does the rest. With `dry_run` store and base
    stay as they are, and the summary says what would be done. Raises StoreError.
    """
    root = Path(os.path.abspath(str(artifact_root)))
    try:
        with bases.for_merge(base, dry_run=dry_run) as used:
            session = MergeSession(store, root, source, dry_run=dry_run)
            session.agreed, session.progress = agreed, progress
            with closing(session.database):
                bases.make_usable(used, bases.store_identity(session.database))
                session.attach(used, delta)
                if agreed is None and not theirs:
                    session.owned = ownership.owned_by(base, delta)
                session.own_base = base if agreed is None and not dry_run else None
                summary = _merge(session)
        if session.own_base:
            ownership.remember_base(base)
        return summary
    except sqlite3.Error as error:
        raise StoreError(
            f"The records of {source} can't be merged into {store}: {error}",
            "What came in stays, and the next pull does the rest. Is the disk full?",
        ) from error


def mark_fetched(base: Path, folders: Iterable[ArtifactFolder]) -> None:
    """The artifacts of `folders` have arrived; until told so, each merge names them again."""
    with closing(sqlite3.connect(base, timeout=60)) as database, database:
        database.executemany(
            "DELETE FROM artifact WHERE local = ?", [(folder.local,) for folder in folders]
        )


def unfetched(base: Path) -> List[ArtifactFolder]:
    """The folders of artifacts that `mark_fetched` wasn't told of yet; none without a base."""
    if is_absent(base):
        return []
    with closing(sqlite3.connect(base, timeout=60)) as database:
        rows = database.execute("SELECT remote, local FROM artifact ORDER BY local")
        return [ArtifactFolder(*row) for row in rows]


def _merge(session: MergeSession) -> MergeSummary:
    stage.prepare(session)
    with session.transaction():
        bases.prepare(session.database, session.source)
        list_foreign(session)
        # A delta of everything fits a base that knows nothing. On top of what was pulled since, it
        # would bring back what has gone: SQLite gives the number of an experiment that is gone to
        # the next.
        since = session.meta.get("since")
        if session.agreed is None and since != bases.get(session.database, "token"):
            raise StoreError("The delta doesn't continue the last pull.", "Pull again.")
        if session.ids("SELECT 1 FROM temp.entities LIMIT 1"):
            # From now on, a delta that was written before this one doesn't follow.
            bases.put(session.database, "token", secrets.token_hex(8))
            # Stopped half way, some signatures are newer than they.
            bases.put(session.database, "blocks", None)
        changed = place_experiments(session)
        _merge_owned(session, schema.EXPERIMENT, [(identity, None) for identity in changed])
        stage.append_datasets(session)
    session.advance(len(changed))
    for kind in schema.KINDS.values():
        if kind.name == schema.EXPERIMENT:
            continue
        with session.transaction():
            if kind.name == schema.ASSOCIATION:
                list_present(session)
            accepted = accept(session, kind)
        if session.own_base and ownership.has_owner(kind.name):
            ids = [thing.id for thing in accepted]
            if not ownership.remember(session.own_base, kind.name, ids):
                with session.transaction():
                    bases.put(session.database, ownership.UNNOTED, True)
        for start in range(0, len(accepted), BATCH):
            part = accepted[start : start + BATCH]
            with session.transaction():
                _merge_incoming(session, kind, part)
            session.advance(len(part))
    stage.append_rows(session)
    with session.transaction():
        _finish(session)
    return _summary(session)


def _merge_incoming(session: MergeSession, kind: schema.Kind, part: Sequence[Incoming]) -> None:
    if kind.name == schema.RUN:
        root = session.artifact_root.parent
        session.database.executemany(
            "UPDATE main.runs SET experiment_id = ?, artifact_uri = coalesce(?, artifact_uri)"
            " WHERE run_uuid = ? AND experiment_id != ?1",
            [
                (run.experiment, run.artifacts and str(root / run.artifacts[0]), run.id)
                for run in part
            ],
        )
    _merge_owned(session, kind.name, [(incoming.id, incoming.experiment) for incoming in part])
    # Without a signature of it, an entity is sent again.
    incomplete = set(session.ids("SELECT name FROM temp.excluded") if kind.optional else ())
    run = session.database.executemany
    run(
        "INSERT OR REPLACE INTO base.entity VALUES (?, ?, ?)",
        [
            (kind.name, entity.id, "" if entity.id in incomplete else entity.signature)
            for entity in part
        ],
    )
    run(
        f'INSERT OR REPLACE INTO base.artifact SELECT ?, ? FROM main."{kind.table}"'
        f' WHERE "{kind.column}" = ?',
        [(*entity.artifacts, entity.id) for entity in part if entity.artifacts],
    )
    if kind.name == schema.RUN:
        # A run that was gone there may be there again.
        run(
            "DELETE FROM main.tags WHERE key = ? AND run_uuid = ? AND value = ?",
            [(DELETED_THERE, entity.id, session.source) for entity in part],
        )
    keys = [(kind.name, entity.id) for entity in part]
    again = run("DELETE FROM base.refused WHERE kind = ? AND id = ?", keys)
    session.accepted_again |= again.rowcount > 0


def _merge_owned(
    session: MergeSession, kind: str, entities: Sequence[Tuple[object, object]]
) -> None:
    """Merge all rows of some entities, named by their local ids, three-way."""
    session.database.execute("DELETE FROM temp.batch")
    session.database.executemany("INSERT OR IGNORE INTO temp.batch VALUES (?, ?)", entities)
    if kind == schema.REGISTERED_MODEL:
        place_versions(session)
    tables = session.tables(schema.rows_of(kind))
    for table in tables:
        stage.stage(session, table)
    for table in tables:
        _merge_table(session, table)


def _merge_table(session: MergeSession, table: schema.Table) -> None:
    columns = session.shared[table.name]
    run = session.database.execute
    if table.rule == schema.LATEST:
        run(merge_sql.take_later(table, columns))
        return
    three_way = table.rule == schema.THREE_WAY
    if three_way and session.agreed and table.owner != schema.EXPERIMENT:
        run(merge_sql.agree(table, columns))
    for column, question in merge_sql.ask_conflicts(table, columns) if three_way else ():
        for *key, ours, theirs in run(question).fetchall():
            session.keep_ours(Conflict.of(table, key, column, ours, theirs), key)
    for statement in merge_sql.take_theirs(table, columns):
        # A name may be free only when another experiment has given it up.
        while run(statement).rowcount > 0 and table.name == "experiments":
            pass
    if three_way and session.owned is not None and not ownership.has_owner(table.owner):
        run(merge_sql.pass_over_ours(table))
    inserted = run(merge_sql.insert_new(table, columns)).rowcount
    if table.name in (schema.KINDS[table.owner].table, "model_versions"):
        session.new[table.name] += inserted
    for statement in merge_sql.rebase(table, columns) if three_way else ():
        run(statement)


def _finish(session: MergeSession) -> None:
    """Only now: stopped before, the next delta starts from the old watermarks again."""
    database = session.database
    refused = [(each.kind, each.id) for each in session.refused if each.kind in schema.KINDS]
    database.executemany("INSERT OR IGNORE INTO base.refused VALUES (?, ?)", refused)
    # One that was pulled before is asked for again, though no row of it changes there any more.
    database.executemany(
        "UPDATE base.entity SET signature = '' WHERE (kind, id) = (?, ?) AND signature != ''",
        refused,
    )
    # Runs that were pulled and are no longer there are kept; a tag says so.
    for identity in session.ids(
        "SELECT e.id FROM base.entity e JOIN delta.gone g ON g.kind = e.kind AND g.id = e.id"
        " WHERE e.kind = 'run' AND e.signature IS NOT NULL"
    ):
        marked = database.execute(
            "INSERT OR IGNORE INTO main.tags (key, value, run_uuid)"
            " SELECT ?, ?, run_uuid FROM main.runs WHERE run_uuid = ?",
            (DELETED_THERE, session.source, identity),
        )
        session.deleted_there += [str(identity)] if marked.rowcount else []
    gone = database.execute(
        "UPDATE base.entity SET signature = NULL WHERE signature IS NOT NULL"
        " AND (kind, CAST(id AS TEXT)) IN (SELECT kind, CAST(id AS TEXT) FROM delta.gone)"
    )
    marks = {} if session.accepted_again else session.meta.get("watermarks")
    arrived = session.ids("SELECT 1 FROM temp.entities LIMIT 1")
    if arrived or gone.rowcount or marks != bases.get(database, "watermarks"):
        bases.put(database, "watermarks", marks)
        bases.put(database, "token", secrets.token_hex(8))
    lacking = session.accepted_again or session.refused
    lacking = lacking or session.ids("SELECT 1 FROM base.refused LIMIT 1")
    bases.put(database, "mark", None if lacking else session.meta.get("mark"))
    bases.put(database, "blocks", session.meta.get("blocks"))
    bases.put(database, "revision", revision_of(database))


def _summary(session: MergeSession) -> MergeSummary:
    touched = session.ids(
        "SELECT id FROM temp.touched WHERE EXISTS"
        " (SELECT 1 FROM main.runs WHERE run_uuid = id) ORDER BY id"
    )
    folders = session.database.execute("SELECT remote, local FROM base.artifact ORDER BY local")
    binned = session.database.execute(
        "SELECT r.run_uuid, e.name, e.experiment_id FROM temp.touched t CROSS JOIN main.runs r"
        " ON r.run_uuid = t.id JOIN main.experiments e ON e.experiment_id = r.experiment_id"
        " WHERE e.lifecycle_stage = 'deleted' ORDER BY e.experiment_id"
    )
    new = session.new
    return MergeSummary(
        new_runs=new["runs"],
        grown_runs=len(set(touched) - set(session.deleted_there)) - new["runs"],
        new_experiments=new["experiments"],
        new_models=new["logged_models"],
        new_traces=new["trace_info"],
        new_versions=new["model_versions"],
        metric_rows=session.metric_rows,
        conflicts=tuple(session.conflicts),
        refused=tuple(dict.fromkeys(session.refused)),
        left_out=tuple(session.left_out),
        deleted_there=tuple(session.deleted_there),
        binned=tuple(BinnedRun(*row) for row in binned if row[0] in session.first_seen),
        run_ids=tuple(str(identity) for identity in touched),
        artifacts=tuple(ArtifactFolder(*row) for row in folders),
    )
