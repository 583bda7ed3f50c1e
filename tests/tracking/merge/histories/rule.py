"""The rule of the merge, over stores of dicts.

What the user did here stays done; what changed there arrives; what was changed on both sides stays
as it is here and is told. What was pulled and is gone here was deleted here, and stays so. What is
gone there stays here, but for tags of things that are still there.

A pull comes in parts: the experiments, then each run, then the points of the metrics, then the end.
Stopped in the middle, it did some of them, and each wholly or not at all.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.tracking.merge.histories.model import Experiment, Point, Run, Store

MARK = "remote.deleted_on"
"""The tag of a run that was deleted for good there; its value is the source."""

RUN_GROUPS = (
    ("name",),
    ("start_time",),
    ("status", "end_time"),
    ("lifecycle_stage", "deleted_time"),
)
EXPERIMENT_GROUPS = (("lifecycle_stage",), ("last_update_time",))
QUIET = ("last_update_time",)

Conflict = tuple[str, object, str, object, object]
"""table, key, column, ours, theirs; an experiment's key starts with its number here."""


@dataclass
class Link:
    """An experiment there that was merged into one here, and how it was when last pulled."""

    ours: int
    name: str
    """Its name there."""
    merged_name: str
    """The name it goes by here, as far as the merge decides: another one may hold its own."""
    seen: Experiment


@dataclass
class Base:
    """What was pulled from one source."""

    links: dict[int, Link] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    """As last pulled, those that are gone included."""
    there: set[str] = field(default_factory=set)
    """The runs that were there."""
    points: dict[str, set[Point]] = field(default_factory=dict)
    """The metrics that were there at the end of the last pull."""


@dataclass
class Delta:
    """What a source says when asked for what is new since `base`."""

    theirs: Store
    experiments: set[int]
    runs: set[str]
    gone: set[str]
    points: dict[str, set[Point]]

    @classmethod
    def of(cls, store: Store, base: Base) -> Delta:
        """Experiments and runs that changed, and those that still run, since their files grow."""
        theirs = store.copy()
        experiments = {
            number
            for number, each in theirs.experiments.items()
            if number not in base.links or each != base.links[number].seen
        }
        runs = {
            run_id
            for run_id, run in theirs.runs.items()
            if run.running or run_id not in base.there or not _same(run, base.runs[run_id])
        }
        points = {
            run_id: run.metrics - base.points.get(run_id, set())
            for run_id, run in theirs.runs.items()
        }
        return cls(theirs, experiments, runs, base.there - set(theirs.runs), points)


class Pull:
    """One delta on its way into `ours`."""

    def __init__(self, ours: Store, delta: Delta, base: Base, source: str) -> None:
        self.ours, self.delta, self.base, self.source = ours, delta, base, source
        self.conflicts: list[Conflict] = []
        self.places: dict[int, int] = {}
        """Number there -> number here."""
        self.new_runs: set[str] = set()
        self.unsure: dict[str, set[Point]] = {}
        """Points sent once before, of runs that were deleted here and brought back by another
        source: they may come or not."""

    def whole(self) -> None:
        self.experiments()
        for run_id in self.delta.runs:
            self.run(run_id)
        self.metrics()
        self.end()

    # Experiments.

    def experiments(self) -> None:
        """Those that were pulled before come first; one after the other, the oldest first."""
        theirs = [
            self.delta.theirs.experiments[key] for key in sorted(self.delta.theirs.experiments)
        ]
        linked = [each for each in theirs if self._link(each) is not None]
        for each in linked:
            link = self.base.links[each.number]
            self.places[each.number] = link.ours
            self._rename(each, link)
        for each in theirs:
            if each not in linked and self._may_come(each):
                self._settle(each)

    def _link(self, theirs: Experiment) -> Link | None:
        link = self.base.links.get(theirs.number)
        return link if link is not None and link.ours in self.ours.experiments else None

    def _may_come(self, theirs: Experiment) -> bool:
        """One that was deleted here for good comes back for a new run only."""
        news = (self.delta.theirs.runs[key] for key in self.delta.runs - set(self.base.runs))
        wanted = theirs.number in {run.experiment for run in news}
        return wanted or theirs.number not in self.base.links

    def _rename(self, theirs: Experiment, link: Link) -> None:
        ours = self.ours.experiments[link.ours]
        renamed, link.name = theirs.name != link.name, theirs.name
        if renamed and theirs.name == ours.name:
            link.merged_name = theirs.name
        elif renamed and theirs.name in self.ours.names:
            self._tell("experiments", ours.number, "name", ours.name, theirs.name)
        elif renamed and theirs.name != link.merged_name:
            if ours.name == link.merged_name:
                ours.fields["name"] = theirs.name
            else:
                self._tell("experiments", ours.number, "name", ours.name, theirs.name)
            link.merged_name = theirs.name
        sent = theirs.number in self.delta.experiments
        self._merge_experiment(theirs, ours, link.seen, with_tags=sent)
        tags = theirs.tags if sent else link.seen.tags
        link.seen = Experiment(dict(theirs.fields), dict(tags), theirs.number)

    def _settle(self, theirs: Experiment) -> None:
        """It is taken for the active one of that name, else it is made."""
        same = [
            each
            for each in self.ours.experiments.values()
            if each.name == theirs.name and each.active and theirs.active
        ]
        if same and same[0].number not in self.places.values():
            ours = same[0]
        else:
            ours = Experiment({**theirs.fields, "name": self._free_name(theirs.name)})
            self.ours.experiments[ours.number] = ours
        self.places[theirs.number] = ours.number
        self._merge_experiment(theirs, ours, None, with_tags=True)
        link = Link(ours.number, theirs.name, ours.name, copy.deepcopy(theirs))
        self.base.links[theirs.number] = link

    def _free_name(self, name: str) -> str:
        free = [name, f"{name} ({self.source})"]
        free += [f"{name} ({self.source} {number})" for number in range(2, 99)]
        return next(each for each in free if each not in self.ours.names)

    def _merge_experiment(
        self, theirs: Experiment, ours: Experiment, base: Experiment | None, *, with_tags: bool
    ) -> None:
        key = ours.number
        was = base.fields if base else None
        self._merge_fields("experiments", key, EXPERIMENT_GROUPS, theirs.fields, ours.fields, was)
        tags = base.tags if base else {}
        if with_tags:
            self._merge_tags("experiment_tags", key, theirs.tags, ours.tags, tags, droppable=True)

    # Runs.

    def run(self, run_id: str) -> None:
        theirs = self.delta.theirs.runs[run_id]
        ours, base = self.ours.runs.get(run_id), self.base.runs.get(run_id)
        place = self.places.get(theirs.experiment, 0)
        if ours is None and base is None:
            ours = self.ours.runs[run_id] = Run(place, dict(theirs.fields))
            self.new_runs.add(run_id)
        if ours is not None:
            self._merge_run(run_id, theirs, ours, base)
        self.base.runs[run_id] = copy.deepcopy(theirs)
        self.base.there.add(run_id)

    def _merge_run(self, run_id: str, theirs: Run, ours: Run, base: Run | None) -> None:
        was = base.fields if base else None
        self._merge_fields("runs", run_id, RUN_GROUPS, theirs.fields, ours.fields, was)
        params, tags = (base.params, base.tags) if base else ({}, {})
        self._merge_tags("params", run_id, theirs.params, ours.params, params, droppable=False)
        self._merge_tags("tags", run_id, theirs.tags, ours.tags, tags, droppable=True)
        for key, point in theirs.latest.items():
            ours.keep_later(key, point)
        if ours.tags.get(MARK) == self.source:
            del ours.tags[MARK]

    def metrics(self) -> None:
        for run_id, points in self.delta.points.items():
            if run_id in self.ours.runs and run_id in self.base.there:
                ours = self.ours.runs[run_id].metrics
                ours |= points
                self.unsure[run_id] = self.delta.theirs.runs[run_id].metrics - ours

    def end(self) -> None:
        for run_id in self.delta.gone:
            self.base.there.discard(run_id)
            if run_id in self.ours.runs:
                self.ours.runs[run_id].tags.setdefault(MARK, self.source)
        runs = self.delta.theirs.runs
        self.base.points = {key: set(run.metrics) for key, run in runs.items()}

    # Values.

    def _merge_fields(
        self,
        table: str,
        key: object,
        groups: Sequence[tuple[str, ...]],
        theirs: dict[str, Any],
        ours: dict[str, Any],
        base: dict[str, Any] | None,
    ) -> None:
        """Columns of a group are one value. A run that still runs is as good as unknown."""
        for group in groups:
            there, here = ([side[name] for name in group] for side in (theirs, ours))
            was = [base[name] for name in group] if base else None
            if there in (here, was):
                continue
            if here == was or (was is None and here[0] == "RUNNING"):
                ours.update(zip(group, there))
                continue
            for name in group:
                if theirs[name] != ours[name] and name not in QUIET:
                    self._tell(table, key, name, ours[name], theirs[name])

    def _merge_tags(
        self,
        table: str,
        key: object,
        theirs: dict[str, str],
        ours: dict[str, str],
        base: dict[str, str],
        *,
        droppable: bool,
    ) -> None:
        for name in sorted({*theirs, *base}):
            there, here, was = (side.get(name) for side in (theirs, ours, base))
            if there in (here, was) or here is None and was is not None:
                continue
            if there is None and not droppable:
                continue
            if here != was:
                self._tell(table, f"{key}/{name}", "value", here, there)
            elif there is None:
                del ours[name]
            else:
                ours[name] = there

    def _tell(self, table: str, key: object, column: str, ours: object, theirs: object) -> None:
        self.conflicts.append((table, key, column, ours, theirs))


def _same(one: Run, other: Run) -> bool:
    """Metrics are sent on their own."""
    return all(
        getattr(one, name) == getattr(other, name)
        for name in ("experiment", "fields", "tags", "params", "latest")
    )
