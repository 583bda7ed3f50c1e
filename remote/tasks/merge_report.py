"""What a merge of records did, in words or as JSON, and the export that follows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from remote.config import Project
from remote.errors import RemoteError, StoreError
from remote.output import plural, print_lines, say, say_first, size

if TYPE_CHECKING:
    from remote.operations.fetch import Fetched
    from remote.operations.tracking.merge_records import Records
    from remote.tracking.export.export_record import ExportSummary
    from remote.transport.rsync_problems import Problem


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


def cleared(names: Sequence[str], backup: str) -> None:
    """Say what stood in the way here."""
    say_first([f"{name} was in the way; it is kept in {backup}/" for name in names], "paths")


def replaced(names: Sequence[str], noun: str, backup: str) -> None:
    """Say what was edited here, and where that is kept."""
    if names:
        say(
            f"{plural(len(names), noun)} on this machine differed from the server's;"
            f" your version is kept in {backup}/"
        )


#: How to take what pulls leave there.
BY_HAND = "copy it by hand (scp)"


def left(links: Sequence[str], acting: Sequence[str], how: str = BY_HAND) -> None:
    """Say what was not brought: links that lead out, and files that act by being there; `how` the
    latter can be had."""
    say_first(
        [f"left on the server, since it leads out of its folder: {link}" for link in links], "links"
    )
    say_first(
        [f"left on the server, since it takes effect just by existing: {name}" for name in acting],
        "files",
    )
    if acting:
        say(f"To copy one anyway: {how}. Why: docs/security.md")


def remarks(records: Records) -> None:
    """What the user should know beside the numbers, on standard error."""
    left(records.left, records.acting)
    replaced(records.replaced, "artifact", records.backup)
    cleared(records.cleared, records.backup)
    if records.moved:
        say(records.moved)
    say_first([f"not pulled: {outside_hint(place)}" for place in records.outside], "stores")
    summary = records.summary
    if summary is None:
        return
    kept = [
        f"kept yours: {each.table} {each.key} {each.column} = {each.ours!r} (theirs: {each.theirs!r})"
        for each in summary.conflicts
    ]
    say_first(kept, "conflicts")
    if kept:
        say("To see them, and to take theirs: inv mlflow-conflicts")
    refused = [f"refused: {record.kind} {record.id}: {record.reason}" for record in summary.refused]
    say_first(refused, "refused")
    say_first(
        [f"deleted on the server, kept locally: run {run}" for run in summary.deleted_there], "runs"
    )
    binned = Counter((run.experiment, run.experiment_id) for run in summary.binned)
    lines = [
        f"{plural(count, 'new run')} went into the experiment {name!r}, which is deleted locally."
        f" To restore it: mlflow experiments restore -x {number}"
        for (name, number), count in binned.items()
    ]
    say_first(lines, "experiments")
    if summary.left_out:
        hint = " (--registry merges it)" if "registered_models" in summary.left_out else ""
        say(f"not merged: {', '.join(summary.left_out)}{hint}")


def on_server(records: Records, target: str) -> None:
    """Say what of the artifacts was left there, and how it is had."""
    sizes = [count for each in records.on_server for count in each.files.values()]
    runs = [each.run for each in records.on_server if each.run]
    if sizes:
        one = f"those of a run: inv remote-fetch {runs[0][:8]}; " if runs else ""
        say(
            f"left on {target}: {plural(len(sizes), 'artifact')}, {size(sum(sizes))}, of"
            f" {plural(len(runs), 'run')}. To copy {one}all: make sync-pull PULL_ARTIFACTS=all"
        )


def fetched(run: str, brought: Fetched) -> None:
    """Say what of a run's artifacts came, and what stays on its server."""
    from remote.operations.sync import say_problems

    print_lines(*(f"fetched {name}" for name in sorted(brought.files)))
    amount = f"{plural(len(brought.files), 'artifact')}, {size(sum(brought.files.values()))}"
    rest = f"; {brought.on_server} more stay on the server" if brought.on_server else ""
    print_lines(f"{amount} of run {run}, the same as on the server{rest}")
    replaced(brought.replaced, "artifact", brought.backup)
    left(brought.left, brought.acting)
    say_problems(brought.problems, "fetched")


def refuse_unreadable(records: Records, target: str, *, quietly: bool = False) -> None:
    """Raises StoreError where a store of the target is there and could not be read."""
    *others, last = records.unreadable or [""]
    if last:
        if not quietly:
            say(*others, f"{target}: some records could not be read; the rest was pulled.")
        raise StoreError(*last.split("\n", 1))


def outside_hint(place: str) -> str:
    """What to do about a store of a server that no pull brings."""
    if not place.startswith("/"):
        return f"runs that jobs logged to {place}"
    return f"runs that jobs logged to {place}: copy it to this machine, then inv mlflow-merge COPY"


def finish(
    project: Project,
    records: Records,
    problems: Sequence[Problem],
    target: str,
    *,
    dry_run: bool,
) -> ExportSummary | None:
    """Say what didn't come, and export what did. All of it is said where the export fails: then
    `refuse_unreadable` has no turn."""
    from remote.operations.sync import say_problems

    say_problems(problems, "pulled")
    on_server(records, target)
    try:
        return export(project, dry_run=dry_run)
    except RemoteError:
        say(*(line for text in records.unreadable for line in text.split("\n")))
        raise


def export(project: Project, *, dry_run: bool) -> ExportSummary | None:
    """Export what the project's server hasn't yet, and say that; silent where no server is set."""
    from remote.operations.tracking.export_records import export_records

    summary = export_records(project, dry_run=dry_run)
    if summary and dry_run:
        runs = plural(summary.grown_runs, "run")
        print_lines(f"would export to {summary.server}: {runs}, and those that the merge adds")
    elif summary:
        new = summary.new
        parts = [plural(new.get("run", 0), "new run"), f"{summary.grown_runs} grown"]
        parts += [plural(new["model"], "model")] if "model" in new else []
        parts += [plural(summary.metric_rows, "metric value"), plural(summary.files, "artifact")]
        print_lines(f"exported to {summary.server}: {', '.join([*parts, size(summary.bytes)])}")
        say_first(summary.notes, "remarks")
    return summary
