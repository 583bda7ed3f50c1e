"""What a merge of records did, in words or as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from remote.tasks.exits import plural, say, size

if TYPE_CHECKING:
    from remote.operations.tracking.pull_records import Records
    from remote.tracking.merge.summary import MergeSummary

SHOWN = 5  # remarks of one kind, before the rest is only counted


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
    kept = [
        f"kept yours: {each.table} {each.key} {each.column} = {each.ours!r} (there: {each.theirs!r})"
        for each in summary.conflicts
    ]
    _say_some(kept, "conflicts")
    if kept:
        say("To see them, and to take theirs: inv mlflow-conflicts")
    _say_some(
        [f"refused: {each.kind} {each.id}: {each.reason}" for each in summary.refused], "refused"
    )
    _say_some([f"deleted there, kept here: run {run}" for run in summary.deleted_there], "runs")
    if summary.left_out:
        say(f"not merged: {', '.join(summary.left_out)}{_registry(summary)}")
    for note in records.notes:
        say(note)


def _registry(summary: MergeSummary) -> str:
    return " (--registry brings it)" if "registered_models" in summary.left_out else ""


def _say_some(lines: list[str], what: str) -> None:
    for text in lines[:SHOWN]:
        say(text)
    if len(lines) > SHOWN:
        say(f"… and {len(lines) - SHOWN} more {what}")


def as_json(records: Records, **more: Any) -> str:
    import json

    return json.dumps({**more, **asdict(records)}, indent=2, default=str, ensure_ascii=False)
