"""Which local experiment is which of the target's. Pure.

Ids are small integers that mean something else in every store. An experiment pulled before is known
by its id together with its time of creation (a store that was made anew counts from 1 again); a
new one is matched by name with an active one; else it is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import FrozenSet, Iterable, List, Optional, Sequence, Set, Tuple

from remote.tracking.merge.summary import Conflict


@dataclass(frozen=True)
class Experiment:
    id: int
    name: str
    active: bool
    created: Optional[int]


@dataclass(frozen=True)
class Link:
    """One experiment of the target's, and the local one that it was merged into."""

    theirs: int
    theirs_created: Optional[int]
    ours: int
    ours_created: Optional[int]
    last_name: Optional[str] = None
    """Its name there at the last pull."""
    base_name: Optional[str] = None
    """The name it was merged under, which differs where another one here had that name."""


@dataclass(frozen=True)
class Placement:
    """`name` is the one to merge in; `is_new`: no local experiment has the id `ours` yet."""

    theirs: Experiment
    ours: int
    name: str
    is_new: bool


@dataclass(frozen=True)
class ExperimentPlan:
    placements: Tuple[Placement, ...]
    conflicts: Tuple[Conflict, ...]


def plan_experiments(
    theirs: Sequence[Experiment],
    ours: Sequence[Experiment],
    links: Iterable[Link],
    *,
    source: str,
    wanted: FrozenSet[int],
) -> ExperimentPlan:
    """`wanted` are the ids (there) that have new runs: gone here for good, they are made anew."""
    last_links = {link.theirs: link for link in links}
    planner = _Planner(ours, last_links.values(), source)
    linked = [
        (experiment, planner.linked(experiment, last_links.get(experiment.id)))
        for experiment in theirs
    ]
    placements = [planner.keep(experiment, link) for experiment, link in linked if link is not None]
    for experiment, link in linked:
        last = last_links.get(experiment.id)
        is_same = last is not None and last.theirs_created == experiment.created
        if link is None and (not is_same or experiment.id in wanted):
            placements.append(planner.place(experiment))
    return ExperimentPlan(tuple(placements), tuple(planner.conflicts))


class _Planner:
    """Names and ids as they get taken while experiments are placed one after the other."""

    def __init__(self, ours: Sequence[Experiment], links: Iterable[Link], source: str) -> None:
        self.ours = {experiment.id: experiment for experiment in ours}
        self.names = {experiment.name: experiment for experiment in ours}
        # An id that was ours once is never given again: links may still name it.
        self.last_id = max([0, *self.ours, *(link.ours for link in links)])
        self.source = source
        self.taken: Set[int] = set()
        self.conflicts: List[Conflict] = []

    def linked(self, theirs: Experiment, link: Optional[Link]) -> Optional[Link]:
        """`link`, if both ends are still what they were."""
        if link is None or link.theirs_created != theirs.created:
            return None
        ours = self.ours.get(link.ours)
        if ours is None or ours.created != link.ours_created:
            return None
        self.taken.add(link.ours)
        return link

    def keep(self, theirs: Experiment, link: Link) -> Placement:
        """A rename there arrives, unless another local experiment has the name."""
        ours = self.ours[link.ours]
        if theirs.name == link.last_name:
            return Placement(theirs, ours.id, link.base_name or theirs.name, is_new=False)
        holder = self.names.get(theirs.name)
        if holder is not None and holder.id != ours.id:
            self.conflicts.append(
                Conflict("experiments", str(ours.id), "name", ours.name, theirs.name)
            )
            return Placement(theirs, ours.id, link.base_name or ours.name, is_new=False)
        if ours.name == link.base_name:
            del self.names[ours.name]
            self.names[theirs.name] = ours
        return Placement(theirs, ours.id, theirs.name, is_new=False)

    def place(self, theirs: Experiment) -> Placement:
        same_name = self.names.get(theirs.name)
        if theirs.active and same_name and same_name.active and same_name.id not in self.taken:
            self.taken.add(same_name.id)
            return Placement(theirs, same_name.id, theirs.name, is_new=False)
        self.last_id += 1
        name = self._free_name(theirs.name)
        new = Experiment(self.last_id, name, theirs.active, theirs.created)
        self.names[name] = self.ours[new.id] = new
        self.taken.add(new.id)
        return Placement(theirs, new.id, name, is_new=True)

    def _free_name(self, name: str) -> str:
        """Names are unique, those of deleted experiments included."""
        candidate, number = name, 1
        while candidate in self.names:
            candidate = (
                f"{name} ({self.source})" if number == 1 else f"{name} ({self.source} {number})"
            )
            number += 1
        return candidate
