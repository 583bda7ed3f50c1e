"""What is to become of each path: which are right, and where the others should lead. Pure.

A path is right below this project's mlruns. One from elsewhere can be mended when the files it
means are here: at the same place below mlruns, or where MLflow would have put them. Files decide;
a path with no file at either end follows those of the same old project.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Iterable, Iterator, Optional, Protocol, Sequence

from remote.tracking.check.artifact_uri import RUNS, Location, parse, splits
from remote.tracking.check.path_rows import Record
from remote.tracking.check.project_dir import Place
from remote.tracking.schema import EXPERIMENT


class State(Enum):
    """What is the matter with a path."""

    FINE = "fine"
    MOVED = "moved"
    """The files are here, the path leads elsewhere."""
    SERVED = "served"
    """A server's form, and a path of this project serves as well."""
    ELSEWHERE = "elsewhere"
    """Outside the project, with files that aren't here."""
    NOWHERE = "nowhere"
    """Outside the project, and nothing is there."""
    UNKNOWN = "unknown"
    """A server's form, and what the server has isn't here."""


class Look(Protocol):
    """The questions that only the disk can answer."""

    def has(self, path: str) -> bool:
        """True where there is a file."""

    def lacks(self, folder: str, other: str) -> bool:
        """True where `folder` holds a file that `other` doesn't."""


@dataclass(frozen=True)
class Verdict:
    """`path` is where the record should lead, absolute, None where nobody knows."""

    record: Record
    state: State
    path: Optional[str]
    written: str = ""
    """The same in the record's own form."""
    old: str = ""
    """The project that the record names."""
    candidates: tuple[str, ...] = ()
    """Where its files may be in this project, if they aren't where it says."""


def verdicts(records: Iterable[Record], place: Place, look: Look) -> Iterator[Verdict]:
    """One for each record that names a folder of this machine."""
    found = [(record, parse(record.text)) for record in records]
    spots = [_Spot(record, location, place, look) for record, location in found if location]
    old = _old_projects(spots, place, look)
    abroad = {spot.project for spot in spots if spot.has_old and not spot.is_right}
    for spot in spots:
        yield spot.verdict(old, abroad - old)


class _Spot:
    """One path, and where else its files may be."""

    def __init__(self, record: Record, location: Location, place: Place, look: Look) -> None:
        self.record, self.location = record, location
        self.place, self.look = place, look
        self.inside = not location.served and place.contains(location.path)
        self.is_right = not location.served and place.own(location.path) is not None
        self.splits = [] if location.served or self.is_right else list(splits(location.path))
        self.has_old = not location.served and not self.is_right and look.has(location.path)

    @property
    def project(self) -> str:
        """The project that the path most likely names; empty where it names none."""
        return self.splits[0][0] if self.splits else ""

    def candidates(self) -> Iterator[str]:
        """Where its files may be here, the likeliest first."""
        if self.location.served:
            yield self.place.served + self.location.path
            yield self.place.runs + self.location.path
        for _, rest in self.splits:
            yield self.place.at(rest)
        if self.record.standard:
            yield self.record.standard

    def target(self) -> Optional[str]:
        """Where its files are here."""
        return next((path for path in self.candidates() if self.look.has(path)), None)

    def moved_from(self) -> Optional[str]:
        """The project whose files are here now, as this path shows; None where it shows nothing."""
        for project, rest in self.splits:
            if not self.record.is_root and self.look.has(self.place.at(rest)):
                return project
        return None

    def verdict(self, old: set[str], abroad: set[str]) -> Verdict:
        """`old` are projects whose files are here now, `abroad` those whose files are not."""
        if self.is_right:
            return self._says(State.FINE)
        if self.location.served:
            return self._served()
        follows = next((self.place.at(rest) for each, rest in self.splits if each in old), None)
        if self.record.is_root:
            return self._root(follows, abroad)
        target = self.target()
        if target and not (self.has_old and self.look.lacks(self.location.path, target)):
            return self._says(State.MOVED, target)
        if self.has_old:
            return self._says(State.FINE if self.inside else State.ELSEWHERE)
        if follows:
            return self._says(State.MOVED, follows)
        return self._left(abroad)

    def _root(self, follows: Optional[str], abroad: set[str]) -> Verdict:
        """A place for what is to come: it may be empty, and that it isn't says nothing."""
        if follows:
            return self._says(State.MOVED, follows)
        target = None if self.has_old else self.target()
        if target:
            return self._says(State.MOVED, target)
        if self.has_old:
            return self._says(State.FINE if self.inside else State.ELSEWHERE)
        return self._left(abroad)

    def _served(self) -> Verdict:
        if self.record.is_root:
            return self._says(State.SERVED, self.place.runs + self.location.path)
        target = self.target()
        if target or self.look.has(self.place.served):
            return self._says(State.SERVED, target or next(self.candidates()))
        return self._says(State.UNKNOWN)

    def _left(self, abroad: set[str]) -> Verdict:
        if self.inside:
            return self._says(State.FINE)
        return self._says(State.ELSEWHERE if self.project in abroad else State.NOWHERE)

    def _says(self, state: State, path: Optional[str] = None) -> Verdict:
        known = path or (None if self.location.served else self.location.path)
        written = self.location.written(path) if path else ""
        candidates = () if state is State.FINE else tuple(self.candidates())
        return Verdict(self.record, state, known, written, self._named(path), candidates)

    def _named(self, path: Optional[str]) -> str:
        for project, rest in self.splits:
            if path == self.place.at(rest):
                return project
        return self.project


def _old_projects(spots: Sequence[_Spot], place: Place, look: Look) -> set[str]:
    """Projects whose files are here now.

    The Default experiment is made with the store: where it names a project of which nothing is
    left, the store was moved from there, even if no run ever wrote a file.
    """
    found = {spot.moved_from() for spot in spots}
    for spot in spots:
        is_default = spot.record.kind == EXPERIMENT and spot.record.id == "0"
        if is_default and spot.project and not look.has(f"{spot.project}/{RUNS}"):
            found.add(spot.project)
    return {project for project in found if project and project != place.folder}
