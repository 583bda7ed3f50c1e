"""What is to become of each path: which are right, and where the others should lead.

A path is right below this project's mlruns. One from elsewhere can be mended when the files it
means are here: at the same place below mlruns, or where MLflow would have put them. Files decide;
a path with no file at either end follows those of the same old project.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Iterable, Iterator, Optional, Sequence

from remote.tracking.check.path_rows import Location, Record
from remote.tracking.check.project_dir import RUNS, SERVED, ProjectDir, has_file, has_more
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


@dataclass(frozen=True)
class PathStatus:
    """`path` is where the record should lead, absolute, None where nobody knows."""

    record: Record
    state: State
    path: Optional[str]
    written: str = ""
    """The same in the record's own form."""
    old: str = ""
    """The project that the record names."""


def path_statuses(records: Iterable[Record], project: ProjectDir) -> list[PathStatus]:
    """One for each record that names a folder of this machine."""
    located = [(record, Location.parse(record.text)) for record in records]
    paths = [_StoredPath(record, location, project) for record, location in located if location]
    moved = _moved_projects(paths, project)
    abroad = {path.old for path in paths if path.has_old} - moved
    return [path.status(moved, abroad) for path in paths]


class _StoredPath:
    """A path as a record has it, and where else its files may be."""

    def __init__(self, record: Record, location: Location, project: ProjectDir) -> None:
        self.record, self.location, self.project = record, location, project
        is_here = not location.served
        self.is_inside = is_here and project.contains(location.path)
        self.is_right = is_here and project.standard(location.path) is not None
        self.splits = list(_splits(location.path)) if is_here and not self.is_right else []
        self.has_old = is_here and not self.is_right and has_file(location.path)
        """True where it leads to files, outside of this project's mlruns."""

    @property
    def old(self) -> str:
        """The project that the path most likely names; empty where it names none."""
        return self.splits[0][0] if self.splits else ""

    def moved_from(self) -> Optional[str]:
        """The project whose files are here now, as this path shows; None where it shows nothing."""
        for old, rest in self.splits:
            if not self.record.is_root and has_file(self.project.at(rest)):
                return old
        return None

    def status(self, moved: set[str], abroad: set[str]) -> PathStatus:
        """`moved` are projects whose files are here now, `abroad` those whose files are not."""
        if self.is_right:
            return self._status(State.FINE)
        if self.location.served:
            return self._served()
        target = self._root_target(moved) if self.record.is_root else self._target(moved)
        if target:
            return self._status(State.MOVED, target)
        if self.is_inside:
            return self._status(State.FINE)
        is_elsewhere = self.has_old or self.old in abroad
        return self._status(State.ELSEWHERE if is_elsewhere else State.NOWHERE)

    def _target(self, moved: set[str]) -> Optional[str]:
        """Where the record should lead, if anywhere else than it does."""
        target = self._with_files()
        if self.has_old:
            # The old place may have grown since: then copying comes before mending.
            return None if target is None or has_more(self.location.path, target) else target
        return target or self._following(moved)

    def _root_target(self, moved: set[str]) -> Optional[str]:
        """The same for a place for what is to come: it may be empty, and that it isn't says
        nothing."""
        return self._following(moved) or (None if self.has_old else self._with_files())

    def _following(self, moved: set[str]) -> Optional[str]:
        return next((self.project.at(rest) for old, rest in self.splits if old in moved), None)

    def _with_files(self) -> Optional[str]:
        return next((path for path in self._candidates() if has_file(path)), None)

    def _candidates(self) -> Iterator[str]:
        """Where its files may be here, the likeliest first."""
        if self.location.served:
            yield self.project.served + self.location.path
            yield self.project.mlruns + self.location.path
        for _, rest in self.splits:
            yield self.project.at(rest)
        if self.record.standard:
            yield self.record.standard

    def _served(self) -> PathStatus:
        if self.record.is_root:
            return self._status(State.SERVED, self.project.mlruns + self.location.path)
        target = self._with_files()
        if target or has_file(self.project.served):
            return self._status(State.SERVED, target or next(self._candidates()))
        return self._status(State.UNKNOWN)

    def _status(self, state: State, target: Optional[str] = None) -> PathStatus:
        path = target or (None if self.location.served else self.location.path)
        written = self.location.written(target) if target else ""
        return PathStatus(self.record, state, path, written, self._named(target))

    def _named(self, target: Optional[str]) -> str:
        """The project that the path names, given that this is its counterpart here."""
        named = (old for old, rest in self.splits if target == self.project.at(rest))
        return next(named, self.old)


def _moved_projects(paths: Sequence[_StoredPath], project: ProjectDir) -> set[str]:
    """Projects whose files are here now.

    The Default experiment is made with the store: where it names a project of which nothing is
    left, the store was moved from there, even if no run ever wrote a file.
    """
    moved = {path.moved_from() for path in paths}
    for path in paths:
        is_default = path.record.kind == EXPERIMENT and path.record.id == "0"
        if is_default and path.old and not has_file(f"{path.old}/{RUNS}"):
            moved.add(path.old)
    return {old for old in moved if old and old != project.folder}


def _splits(path: str) -> Iterator[tuple[str, str]]:
    """(the project it may have lain in, the rest from mlruns on), the longest project first."""
    parts = path.split("/")
    for index in range(len(parts) - 1, 0, -1):
        if parts[index] in (RUNS, SERVED):
            yield "/".join(parts[:index]) or "/", "/".join(parts[index:])
