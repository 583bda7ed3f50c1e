"""The conflicts of all merges into the project's destination, and the way out of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from remote.config import Project
from remote.errors import StoreError
from remote.operations.tracking.destination import destination
from remote.operations.tracking.merge_records import merging
from remote.tracking.merge import base as bases
from remote.tracking.merge import conflicts
from remote.tracking.merge.summary import Conflict


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
    found: list[Listed] = []
    with merging(project):
        # A base is named after its source, and after the destination that isn't the project's own.
        for base in sorted((project.state / "targets").glob(to.base("*").name)):
            if base == to.base(base.name[: -len(to.base("").name)]):
                source = bases.source_name(base)
                for each in conflicts.open_conflicts(base, to.location):
                    found.append(Listed(len(found) + 1, source, base, each))
    return found


def choose(
    found: Sequence[Listed], words: Sequence[str], *, theirs: bool, ours: bool
) -> list[Listed]:
    """Those that the words name, all without words. Raises StoreError.

    A run has its name twice, in its row and in a tag: both are meant where one is named.
    """
    if theirs and ours:
        raise StoreError("--theirs and --ours can't both be meant.", "Give one of them.")
    chosen = [each for each in found if not words or any(_named(each, word) for word in words)]
    for word in words:
        if not any(_named(each, word) for each in found):
            raise StoreError(f"No conflict is called {word}.", "inv mlflow-conflicts lists them.")
    renamed = {_renamed(each) for each in chosen} - {None}
    return [each for each in found if each in chosen or _renamed(each) in renamed]


def _named(each: Listed, word: str) -> bool:
    return word == str(each.number) or (len(word) > 3 and each.conflict.key.startswith(word))


def _renamed(each: Listed) -> tuple[str, str] | None:
    """The source and the run whose name this conflict is about."""
    of = each.conflict
    if (of.table, of.column) == ("runs", "name"):
        return each.source, of.key
    if of.table == "tags" and of.key.endswith("/mlflow.runName"):
        return each.source, of.key.partition("/")[0]
    return None


def resolve(project: Project, chosen: Sequence[Listed], *, theirs: bool) -> None:
    """Take theirs, or keep ours for good; raises StoreError."""
    to = destination(project)
    with merging(project):
        for base in dict.fromkeys(each.base for each in chosen):
            each_of = [each.open for each in chosen if each.base == base]
            conflicts.resolve(base, to.location, each_of, theirs=theirs)
