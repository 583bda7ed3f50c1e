"""What a merge did."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Conflict:
    """A value that was changed on both sides: ours was kept. None: the row was removed there."""

    table: str
    key: str
    column: str
    ours: object
    theirs: object


@dataclass(frozen=True)
class Refusal:
    """An experiment, run or model that was left out, and why."""

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
    metric_rows: int
    conflicts: tuple[Conflict, ...]
    refused: tuple[Refusal, ...]
    left_out: tuple[str, ...]
    """Tables (`traces`) and columns (`runs.colour`) that have content there and no place here."""
    run_ids: tuple[str, ...]
    """The new and the grown."""
    artifacts: tuple[ArtifactFolder, ...]
    """What to fetch: new, changed or still running, and what `settle` wasn't told of before."""
