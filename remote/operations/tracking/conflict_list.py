"""The conflicts of all merges into the project's destination, and the way out of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from remote.config import Project
from remote.errors import StoreError
from remote.operations.tracking.destination import destination
from remote.operations.tracking.merge_records import merging
from remote.tracking.merge import Conflict
from remote.tracking.merge import base as bases
from remote.tracking.merge import conflicts


@dataclass(frozen=True)
class Listed:
    """A conflict, its number in the list, and where the other side is."""

    number: int
    source: str
    base: Path
    open: conflicts.OpenConflict

    @property
    def conflict(self) -> Conflict:
        return self.open.conflict


def listed(project: Project) -> list[Listed]:
    """Those that are not settled, of all sources, in the order of their sources."""
    to = destination(project)
    entries: list[Listed] = []
    with merging(project):
        # A base is named after its source, and after the destination that isn't the project's own.
        for base in sorted((project.state / "targets").glob(to.base("*").name)):
            if base == to.base(base.name[: -len(to.base("").name)]):
                found = conflicts.open_conflicts(base, to.location)
                # Only now has the copy of a damaged base taken its place.
                source = bases.source_name(base)
                for conflict in found:
                    entries.append(Listed(len(entries) + 1, source, base, conflict))
    return entries


def choose(
    entries: Sequence[Listed], words: Sequence[str], *, theirs: bool, ours: bool
) -> list[Listed]:
    """Those that the words name, all without words. Raises StoreError.

    A run has its name twice, in its row and in a tag: both are meant where one is named.
    """
    if theirs and ours:
        raise StoreError("--theirs and --ours can't both be meant.", "Give one of them.")
    named = [] if words else list(entries)
    for word in words:
        of_key = [each for each in entries if len(word) > 3 and each.conflict.key.startswith(word)]
        found = of_key + [each for each in entries if word == str(each.number)]
        if not found:
            raise StoreError(f"No conflict is called {word}.", "inv mlflow-conflicts lists them.")
        named += found
    renamed = {_renamed_run(entry) for entry in named} - {None}
    return [entry for entry in entries if entry in named or _renamed_run(entry) in renamed]


def _renamed_run(entry: Listed) -> tuple[str, str] | None:
    """The source and the run whose name this conflict is about."""
    conflict = entry.conflict
    if (conflict.table, conflict.column) == ("runs", "name"):
        return entry.source, conflict.key
    if conflict.table == "tags" and conflict.key.endswith("/mlflow.runName"):
        return entry.source, conflict.key.partition("/")[0]
    return None


def resolve(project: Project, entries: Sequence[Listed], *, theirs: bool) -> None:
    """Take theirs, or keep ours for good; raises StoreError."""
    to = destination(project)
    with merging(project):
        for base in dict.fromkeys(entry.base for entry in entries):
            of_base = [entry.open for entry in entries if entry.base == base]
            conflicts.resolve(base, to.location, of_base, theirs=theirs)
