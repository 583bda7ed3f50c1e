"""Which experiments of two stores are the same: each of the target's gets its place in the local
store, and what one side knows is told to the other."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path
from typing import FrozenSet, Iterable, Iterator, List, Optional

from remote.errors import StoreError
from remote.tracking import schema
from remote.tracking.merge import base as bases
from remote.tracking.merge.conflicts import note
from remote.tracking.merge.local_store import open_local_store
from remote.tracking.merge.merge_session import MergeSession
from remote.tracking.merge.plan_experiments import Experiment, Link, Placement, plan_experiments
from remote.tracking.store import columns_of


def place_experiments(session: MergeSession) -> List[object]:
    """Fills temp.placement and base.experiment_map; the local ids of those that changed there."""
    ours = _experiments(session, "main")
    plan = plan_experiments(
        _experiments(session, "delta"),
        ours,
        _links(session),
        source=session.source,
        wanted=_wanted(session),
    )
    session.conflicts += plan.conflicts
    for conflict in plan.conflicts:
        note(session.database, "experiments", [int(conflict.key)], "name", conflict.theirs)
    created = {experiment.id: experiment.created for experiment in ours}
    before = {(link.theirs, link.theirs_created, link.ours) for link in _links(session)}
    anew = []
    for placement in plan.placements:
        _remember(session, placement, created.get(placement.ours, placement.theirs.created))
        theirs = placement.theirs
        if (theirs.id, theirs.created, placement.ours) not in before:
            anew.append(placement.ours)
            _forget(session, placement.ours)
    return list({*_changed(session), *anew})


def _forget(session: MergeSession, experiment: int) -> None:
    """What was pulled of an experiment that another one takes the place of."""
    for table in session.tables(schema.rows_of(schema.EXPERIMENT)):
        session.database.execute(
            f'DELETE FROM base."{table.name}" WHERE experiment_id = ?', (experiment,)
        )


def _experiments(session: MergeSession, schema_name: str) -> List[Experiment]:
    has_time = "creation_time" in columns_of(session.database, schema_name, "experiments")
    rows = session.database.execute(
        f"SELECT experiment_id, name, lifecycle_stage, {'creation_time' if has_time else 'NULL'}"
        f" FROM {schema_name}.experiments ORDER BY experiment_id"
    )
    return [
        Experiment(identity, name, stage == "active", created)
        for identity, name, stage, created in rows
        if _is_sound(session, identity, name)
    ]


def _is_sound(session: MergeSession, identity: object, name: object) -> bool:
    sound = isinstance(identity, int) and isinstance(name, str)
    if not sound:
        session.refuse(schema.EXPERIMENT, identity, "it has no number or no name")
    return sound


def _links(session: MergeSession) -> List[Link]:
    rows = session.database.execute(
        "SELECT m.theirs, m.theirs_created, m.ours, m.ours_created, m.last_name, b.name"
        " FROM base.experiment_map m LEFT JOIN base.experiments b ON b.experiment_id = m.ours"
    )
    return [Link(*row) for row in rows]


def _wanted(session: MergeSession) -> FrozenSet[int]:
    rows = session.database.execute(
        "SELECT DISTINCT experiment_id FROM delta.runs d WHERE NOT EXISTS"
        " (SELECT 1 FROM base.runs b WHERE b.run_uuid = d.run_uuid)"
    )
    return frozenset(identity for (identity,) in rows)


def _remember(session: MergeSession, placement: Placement, ours_created: Optional[int]) -> None:
    theirs = placement.theirs
    session.database.execute(
        "INSERT INTO temp.placement VALUES (?, ?, ?)", (theirs.id, placement.ours, placement.name)
    )
    row = (theirs.id, theirs.created, placement.ours, ours_created, theirs.name)
    query = "SELECT * FROM base.experiment_map WHERE theirs = ?"
    if session.database.execute(query, (theirs.id,)).fetchone() != row:
        session.database.execute(
            "INSERT OR REPLACE INTO base.experiment_map VALUES (?, ?, ?, ?, ?)", row
        )


def _changed(session: MergeSession) -> List[object]:
    """Their signatures are remembered in this same transaction as their rows."""
    where = (
        " FROM delta.entities e JOIN temp.placement p ON p.theirs = e.id"
        f" WHERE e.kind = '{schema.EXPERIMENT}'"
    )
    session.database.execute(
        f"INSERT OR REPLACE INTO base.entity SELECT e.kind, e.id, e.signature{where}"
    )
    return session.ids(f"SELECT p.ours{where}")


def for_the_other_side(base: Path, store: Path) -> List[Link]:
    """The links of `base` as the other side sees them: what is ours is theirs.

    An experiment keeps the name that each side has given it.
    """
    if not base.is_file():
        return []
    with _attached(base, store, "") as database:
        rows = database.execute(
            "SELECT m.ours, m.ours_created, m.theirs, m.theirs_created, o.name"
            " FROM base.experiment_map m JOIN main.experiments o ON o.experiment_id = m.ours"
        )
        return [Link(*row) for row in rows]


def learn(base: Path, store: Path, links: Iterable[Link], *, source: str) -> None:
    """Has the next merge from `source` take linked experiments for the same.

    What is here now counts as what was last seen on both sides.
    """
    with _attached(base, store, source) as database:
        names = ", ".join(f'"{column}"' for column in columns_of(database, "main", "experiments"))
        for link in links:
            row = (link.theirs, link.theirs_created, link.ours, link.ours_created, link.last_name)
            database.execute(
                "INSERT OR REPLACE INTO base.experiment_map SELECT ?, ?, ?, ?, ?"
                " WHERE NOT EXISTS (SELECT 1 FROM base.experiment_map WHERE theirs = ?"
                " AND theirs_created IS ? AND ours = ? AND ours_created IS ?)",
                (*row, *row[:4]),
            )
            database.execute(
                f"INSERT OR IGNORE INTO base.experiments ({names})"
                f" SELECT {names} FROM main.experiments WHERE experiment_id = ?",
                (link.ours,),
            )


@contextmanager
def _attached(base: Path, store: Path, source: str) -> Iterator[sqlite3.Connection]:
    """One transaction over both; with `source`, a base that is missing is made."""
    mode = "rwc" if source else "rw"
    base.parent.mkdir(parents=True, exist_ok=True)
    try:
        with closing(open_local_store(store)) as local_store:
            local_store.database.execute(
                "ATTACH ? AS base", (f"{base.resolve().as_uri()}?mode={mode}",)
            )
            with local_store.transaction():
                if source:
                    bases.prepare(local_store.database, source)
                yield local_store.database
    except sqlite3.Error as error:
        raise StoreError(f"The experiments of {store} can't be linked: {error}") from error
