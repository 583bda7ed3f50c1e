"""Which experiments of two stores are the same: each of the target's gets its place in the local
store, and what one side knows is told to the other.

Ids are small integers that mean something else in every store. An experiment pulled before is known
by its id together with its time of creation (a store that was made anew counts from 1 again); a
new one is matched by name with an active one; else it is made.
"""

from __future__ import annotations

from itertools import chain, count
from pathlib import Path
from typing import Collection, Dict, Iterable, List, NamedTuple, Optional, Sequence, Set, Tuple

from remote.job.messages.records import ExperimentLink
from remote.tracking import schema
from remote.tracking.merge.merge_session import Conflict, MergeSession, store_with_base
from remote.tracking.merge.merge_sql import names
from remote.tracking.store import columns_of


class Experiment(NamedTuple):
    id: int
    name: str
    active: bool
    created: Optional[int]


Placement = Tuple[Experiment, int, str]
"""An experiment of the target's, the local id, and the name to merge in."""


def plan_experiments(
    theirs: Sequence[Experiment],
    ours: Sequence[Experiment],
    links: Iterable[ExperimentLink],
    *,
    source: str,
    wanted: Collection[int],
) -> Tuple[List[Placement], List[Conflict]]:
    """Where each goes, and the renames that can't be followed. Pure.

    `wanted` are the ids (there) that have new runs: gone here for good, they are made anew.
    """
    last_links = {link.theirs: link for link in links}
    local = {experiment.id: experiment for experiment in ours}
    by_name = {experiment.name: experiment for experiment in ours}
    linked: List[Tuple[Experiment, ExperimentLink]] = []
    unlinked: List[Experiment] = []
    for experiment in theirs:
        link = last_links.get(experiment.id)
        if link is None or link.theirs_created != experiment.created:
            unlinked.append(experiment)
        elif link.ours in local and local[link.ours].created == link.ours_created:
            linked.append((experiment, link))
        elif experiment.id in wanted:
            unlinked.append(experiment)
    placements, conflicts = [], []
    for experiment, link in linked:
        home, name = local[link.ours], experiment.name
        holder = by_name.get(name)
        if name == link.last_name:
            name = link.base_name or name
        elif holder is not None and holder.id != home.id:
            conflicts.append(Conflict("experiments", str(home.id), "name", home.name, name))
            name = link.base_name or home.name
        elif home.name == link.base_name:
            # A rename there arrives.
            del by_name[home.name]
            by_name[name] = home
        placements.append((experiment, home.id, name))
    # An id that was ours once is never given again: links may still name it.
    last_id = max([0, *local, *(link.ours for link in last_links.values())])
    taken = {link.ours for _, link in linked}
    return placements + _place(unlinked, by_name, taken, last_id, source), conflicts


def _place(
    unlinked: Iterable[Experiment],
    by_name: Dict[str, Experiment],
    taken: Set[int],
    last_id: int,
    source: str,
) -> List[Placement]:
    """With the active one of that name that isn't `taken`, else under a new id and a free name."""
    placements = []
    for theirs in unlinked:
        home = by_name.get(theirs.name)
        if not (theirs.active and home and home.active and home.id not in taken):
            last_id += 1
            # Names are unique, those of deleted experiments included.
            more = (f"{theirs.name} ({source} {number})" for number in count(2))
            candidates = chain([theirs.name, f"{theirs.name} ({source})"], more)
            name = next(candidate for candidate in candidates if candidate not in by_name)
            home = by_name[name] = Experiment(last_id, name, theirs.active, theirs.created)
        taken.add(home.id)
        placements.append((theirs, home.id, home.name))
    return placements


def place_experiments(session: MergeSession) -> List[object]:
    """Fills temp.placement and base.experiment_map; the local ids of those that changed there."""
    run = session.database.execute
    ours = _experiments(session, "main")
    links = run(
        "SELECT m.theirs, m.theirs_created, m.ours, m.ours_created, m.last_name, b.name"
        " FROM base.experiment_map m LEFT JOIN base.experiments b ON b.experiment_id = m.ours"
    ).fetchall()
    placements, conflicts = plan_experiments(
        _experiments(session, "delta"),
        ours,
        [ExperimentLink(*row) for row in links],
        source=session.source,
        wanted=session.ids(
            "SELECT DISTINCT experiment_id FROM delta.runs d WHERE NOT EXISTS"
            " (SELECT 1 FROM base.runs b WHERE b.run_uuid = d.run_uuid)"
        ),
    )
    for conflict in conflicts:
        session.keep_ours(conflict, [int(conflict.key)], theirs=conflict.theirs)
    created = {experiment.id: experiment.created for experiment in ours}
    before, remembered = {row[:3] for row in links}, {row[:5] for row in links}
    anew = set()
    for theirs, home, name in placements:
        run("INSERT INTO temp.placement VALUES (?, ?, ?)", (theirs.id, home, name))
        row = (theirs.id, theirs.created, home, created.get(home, theirs.created), theirs.name)
        if row not in remembered:
            run("INSERT OR REPLACE INTO base.experiment_map VALUES (?, ?, ?, ?, ?)", row)
        if row[:3] not in before:
            anew.add(home)
            # What was pulled of one that this one takes the place of.
            for table in session.tables(schema.rows_of(schema.EXPERIMENT)):
                run(f'DELETE FROM base."{table.name}" WHERE experiment_id = ?', (home,))
    # Their signatures are remembered in this same transaction as their rows.
    changed = (
        " FROM temp.entities e JOIN temp.placement p ON p.theirs = e.id"
        f" WHERE e.kind = '{schema.EXPERIMENT}'"
    )
    run(f"INSERT OR REPLACE INTO base.entity SELECT e.kind, e.id, e.signature{changed}")
    return list(anew.union(session.ids(f"SELECT p.ours{changed}")))


def _experiments(session: MergeSession, schema_name: str) -> List[Experiment]:
    has_time = "creation_time" in columns_of(session.database, schema_name, "experiments")
    rows = session.database.execute(
        f"SELECT experiment_id, name, lifecycle_stage, {'creation_time' if has_time else 'NULL'}"
        f" FROM {schema_name}.experiments ORDER BY experiment_id"
    )
    experiments = []
    for identity, name, stage, created in rows:
        if isinstance(identity, int) and isinstance(name, str):
            experiments.append(Experiment(identity, name, stage == "active", created))
        else:
            session.refuse(schema.EXPERIMENT, identity, "it has no number or no name")
    return experiments


def for_the_other_side(base: Path, store: Path) -> List[ExperimentLink]:
    """The links of `base` as the other side sees them: what is ours is theirs.

    An experiment keeps the name that each side has given it.
    """
    with store_with_base(store, base) as database:
        if database is None:
            return []
        rows = database.execute(
            "SELECT m.ours, m.ours_created, m.theirs, m.theirs_created, o.name"
            " FROM base.experiment_map m JOIN main.experiments o ON o.experiment_id = m.ours"
        )
        return [ExperimentLink(*row) for row in rows]


def learn(base: Path, store: Path, links: Iterable[ExperimentLink], *, source: str) -> None:
    """Has the next merge from `source` take linked experiments for the same.

    What is here now counts as what was last seen on both sides.
    """
    with store_with_base(store, base, source=source) as database:
        assert database
        columns = names(columns_of(database, "main", "experiments"))
        for link in links:
            ends = (link.theirs, link.theirs_created, link.ours, link.ours_created)
            database.execute(
                "INSERT OR REPLACE INTO base.experiment_map SELECT ?, ?, ?, ?, ?"
                " WHERE NOT EXISTS (SELECT 1 FROM base.experiment_map WHERE theirs = ?"
                " AND theirs_created IS ? AND ours = ? AND ours_created IS ?)",
                (*ends, link.last_name, *ends),
            )
            database.execute(
                f"INSERT OR IGNORE INTO base.experiments ({columns})"
                f" SELECT {columns} FROM main.experiments WHERE experiment_id = ?",
                (link.ours,),
            )
