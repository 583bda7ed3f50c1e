"""What a merge did."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Sequence, Tuple

from remote.tracking.schema import Table


@dataclass(frozen=True)
class Conflict:
    """A value that was changed on both sides: ours was kept. None: the row was removed there."""

    table: str
    key: str
    column: str
    ours: object
    theirs: object

    @classmethod
    def of(
        cls, table: Table, key: Sequence[object], column: str, ours: object, theirs: object
    ) -> Conflict:
        """`key` are the values of the table's key; what the row belongs to is named first."""
        names = sorted(zip(table.key, key), key=lambda pair: pair[0] != table.owner_column)
        return cls(table.name, "/".join(str(value) for _, value in names), column, ours, theirs)


@dataclass(frozen=True)
class Refusal:
    """A thing (experiment, run, model, trace …) that was left out, and why."""

    kind: str
    id: str
    reason: str


@dataclass(frozen=True)
class ArtifactFolder:
    """Artifacts to fetch: `remote` relative to the target's root, `local` to the project's.

    The remote folder need not exist: a run without artifacts has none.
    """

    remote: str
    local: str


@dataclass(frozen=True)
class MergeSummary:
    new_runs: int
    grown_runs: int
    new_experiments: int
    new_models: int
    new_traces: int
    new_versions: int
    """Versions of registered models."""
    metric_rows: int
    conflicts: Tuple[Conflict, ...]
    """Those that this merge found; what was found before is in `conflicts` of the base."""
    refused: Tuple[Refusal, ...]
    left_out: Tuple[str, ...]
    """Tables (`issues`) and columns (`runs.colour`) that have content there and no place here."""
    deleted_there: Tuple[str, ...]
    """Runs that were found deleted on the target; they are kept."""
    run_ids: Tuple[str, ...]
    """The new and the grown."""
    artifacts: Tuple[ArtifactFolder, ...]
    """What to fetch: new, changed or still running, and what `mark_fetched` wasn't told of before."""


def total(one: MergeSummary, other: MergeSummary) -> MergeSummary:
    """What two merges did together."""
    # Numbers add up, lists follow each other.
    names = [field.name for field in fields(MergeSummary)]
    return MergeSummary(**{name: getattr(one, name) + getattr(other, name) for name in names})
