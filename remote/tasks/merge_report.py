"""What a merge of records did, in words or as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from remote.output import plural, say, say_first, size

if TYPE_CHECKING:
    from remote.operations.tracking.merge_records import Records
    from remote.tracking.merge.summary import Conflict, MergeSummary


def parts(records: Records) -> Iterator[str]:
    """The numbers of the one line at the end."""
    summary = records.summary
    if summary is None:
        return
    yield plural(summary.new_runs, "new run")
    yield f"{summary.grown_runs} grown"
    for count, noun in (
        (summary.new_models, "model"),
        (summary.new_traces, "trace"),
        (summary.new_versions, "registered version"),
        (len(summary.conflicts), "conflict"),
    ):
        if count:
            yield plural(count, noun)
    yield plural(len(records.artifacts), "artifact")


def line(records: Records) -> str:
    """All of them, with bytes and seconds."""
    return ", ".join([*parts(records), size(records.bytes), f"{records.seconds:.1f} s"])


def remarks(records: Records) -> None:
    """What the user should know beside the numbers, on standard error."""
    summary = records.summary
    if summary is None:
        return
    say_first([_conflict(conflict) for conflict in summary.conflicts], "conflicts")
    if summary.conflicts:
        say("To see them, and to take theirs: inv mlflow-conflicts")
    refused = [f"refused: {record.kind} {record.id}: {record.reason}" for record in summary.refused]
    say_first(refused, "refused")
    say_first([f"deleted there, kept here: run {run}" for run in summary.deleted_there], "runs")
    if summary.left_out:
        say(f"not merged: {', '.join(summary.left_out)}{_registry(summary)}")


def _conflict(conflict: Conflict) -> str:
    cell = f"{conflict.table} {conflict.key} {conflict.column}"
    return f"kept yours: {cell} = {conflict.ours!r} (there: {conflict.theirs!r})"


def _registry(summary: MergeSummary) -> str:
    return " (--registry brings it)" if "registered_models" in summary.left_out else ""


def as_data(records: Records, **more: Any) -> dict[str, Any]:
    """The same as JSON tells it."""
    return {**more, **asdict(records)}
