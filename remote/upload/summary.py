"""What an upload did."""

from __future__ import annotations

from dataclasses import dataclass

from remote.tracking.merge.summary import MergeSummary, Refusal

LIMITS = (
    "Runs and logged models get new ids. The one at the source is the tag remote.source_run or"
    " remote.source_model.",
    "An experiment or a logged model was made, and anything was deleted, when the server did it.",
    "Why a logged model failed, that a deleted one was restored, and which assessments of a trace"
    " another one has overridden, can't be said. Whole numbers in them become floats.",
    "The model registry and evaluation datasets aren't uploaded.",
)
"""What doesn't get through MLflow's REST API as it was."""


@dataclass(frozen=True)
class ArtifactSummary:
    files: int = 0
    bytes: int = 0
    refused: tuple[Refusal, ...] = ()


@dataclass(frozen=True)
class UploadSummary(MergeSummary):
    """`run_ids` and `deleted_there` are ids at the source. In `artifacts`, `local` is relative to
    the folder that `send_artifacts` is given, and folders are named until that has sent them."""

    notes: tuple[str, ...] = ()
    """Further things to say, a line each."""
