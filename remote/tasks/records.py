"""`inv mlflow-pull`, `mlflow-merge`, `mlflow-conflicts`: MLflow records, merged."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from invoke.context import Context
from invoke.tasks import task

from remote.config import find_project
from remote.output import plural, print_json, print_lines, say
from remote.tasks import export_report, merge_report
from remote.tasks.argparse_task import ArgparseTask
from remote.tasks.exits import exit_on_error
from remote.tasks.sync import DRY_HELP, REGISTRY_HELP, TARGET_HELP, registry_asked, server_of

if TYPE_CHECKING:
    from remote.operations.tracking.conflict_list import Listed

JSON_HELP = "print what was done as JSON"


@task(
    help={
        "target": TARGET_HELP,
        "registry": REGISTRY_HELP,
        "dry-run": DRY_HELP,
        "json": JSON_HELP,
    }
)
@exit_on_error
def mlflow_pull(
    c: Context,
    target: str = "",
    registry: bool = False,
    dry_run: bool = False,
    json: bool = False,
) -> None:
    """Merge the target's MLflow records, with their artifacts; no other results (see sync-pull)."""
    from remote.operations.tracking.pull_records import pull_records

    server = server_of(target)
    records = pull_records(
        server, say=say, registry=registry_asked(server.project, registry), dry_run=dry_run
    )
    if json:
        data = merge_report.as_data(records, target=str(server.target), dry_run=dry_run)
        export_report.print_with_export(server.project, data, dry_run=dry_run)
        return
    if records.summary is None:
        say(f"{server.target} has no MLflow records yet.")
    else:
        verb = "would merge" if dry_run else "merged"
        print_lines(f"{verb} from {server.target}: {merge_report.line(records)}")
        merge_report.remarks(records)
    export_report.export_and_tell(server.project, dry_run=dry_run)


@task(
    klass=ArgparseTask,
    positional=["store"],
    help={
        "store": "a .db file, a folder with mlflow.db or mlruns, or a sqlite:/// address",
        "artifacts": "the folder that holds the store's mlruns (default: the store's own folder)",
        "registry": REGISTRY_HELP,
        "dry-run": DRY_HELP,
        "json": JSON_HELP,
    },
)
@exit_on_error
def mlflow_merge(
    c: Context,
    store: str,
    artifacts: str = "",
    registry: bool = False,
    dry_run: bool = False,
    json: bool = False,
) -> None:
    """Merge an MLflow store that lies on this machine: a colleague's, an old project's."""
    from remote.operations.tracking.merge_store import merge_store

    project = find_project()
    records = merge_store(
        project,
        store,
        artifacts=artifacts,
        registry=registry_asked(project, registry),
        say=say,
        dry_run=dry_run,
    )
    if json:
        data = merge_report.as_data(records, store=store, dry_run=dry_run)
        export_report.print_with_export(project, data, dry_run=dry_run)
        return
    verb = "would merge" if dry_run else "merged"
    print_lines(f"{verb} {store}: {merge_report.line(records)}")
    merge_report.remarks(records)
    export_report.export_and_tell(project, dry_run=dry_run)


@task(
    klass=ArgparseTask,
    positional=["conflict"],
    iterable=["conflict"],
    help={
        "conflict": "numbers of the list, or the beginning of a run's id (default: all)",
        "theirs": "take the other side's value",
        "ours": "keep yours, and list it no more",
        "json": "print the list as JSON",
    },
)
@exit_on_error
def mlflow_conflicts(
    c: Context,
    conflict: list[str] | None = None,
    theirs: bool = False,
    ours: bool = False,
    json: bool = False,
) -> None:
    """List what was changed here and there since the last pull; yours was kept."""
    from remote.operations.tracking.conflict_list import choose, listed, resolve

    project = find_project()
    chosen = choose(listed(project), conflict or [], theirs=theirs, ours=ours)
    if json:
        print_json(
            [
                {"number": entry.number, "from": entry.source, **asdict(entry.conflict)}
                for entry in chosen
            ]
        )
    else:
        print_lines(*map(_line, chosen))
    if theirs or ours:
        resolve(project, chosen, theirs=theirs)
        say(
            f"{plural(len(chosen), 'conflict')} settled: {'theirs taken' if theirs else 'yours kept'}."
        )
    elif not chosen:
        say("No conflicts.")
    else:
        say("Yours was kept. To take the other: inv mlflow-conflicts --theirs NUMBER (or --ours)")


def _line(entry: Listed) -> str:
    value = entry.conflict
    there = "removed" if value.theirs is None else repr(value.theirs)
    return (
        f"{entry.number:3}  {value.table} {value.key} {value.column}:"
        f" yours {value.ours!r}, there {there} ({entry.source})"
    )


TASKS = (mlflow_pull, mlflow_merge, mlflow_conflicts)
