"""MLflow records: merged by `inv mlflow-pull`, `mlflow-push`, `mlflow-merge`, `mlflow-conflicts`, and
looked through by `mlflow-check`."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from invoke.context import Context
from invoke.exceptions import Exit

from remote.config import Project, find_project
from remote.output import SHOWN, plural, print_lines, say, say_first, size
from remote.tasks import merge_report
from remote.tasks.declare import command
from remote.tasks.result import tell, tell_target
from remote.tasks.sync import THEIRS_HELP, limit_artifacts, registry_asked, server_of
from remote.tasks.transfer_report import exit_unless_all

if TYPE_CHECKING:
    from remote.operations.tracking.merge_records import Records
    from remote.operations.tracking.push_runs import PushedRuns
    from remote.session import TargetSession
    from remote.tracking.check.examine import Finding

#: How many examples of a finding are shown.
_EXAMPLES = 3


@command(help={"theirs": THEIRS_HELP}, json=True)
def mlflow_pull(
    c: Context,
    target: str = "",
    registry: bool = False,
    dry_run: bool = False,
    theirs: bool = False,
) -> None:
    """Merge the target's MLflow records, with their artifacts; no other results (see sync-pull).

    Example: inv mlflow-pull
    """
    from remote.operations.tracking.pull_records import pull_records

    server = server_of(target)
    limit_artifacts(server)
    registry = registry_asked(server.project, registry)
    records = pull_records(server, registry=registry, dry_run=dry_run, theirs=theirs)
    tell_target(server, records, dry_run=dry_run, export=None)
    _report(server.project, records, f"from {server.target}", str(server.target), dry_run=dry_run)


@command(
    positional=["run"],
    iterable=["run"],
    help={
        "run": "ids of runs (the first 4 characters or more will do), or their names",
        "experiment": "all runs of the experiment with this name",
        "traces": "the runs' traces too",
        "registry": "the versions of registered models that these runs made, too",
        "dry-run": "show what would be copied, change nothing",
    },
    json=True,
)
def mlflow_push(
    c: Context,
    run: list[str] | None = None,
    experiment: str = "",
    target: str = "",
    traces: bool = False,
    registry: bool = False,
    dry_run: bool = False,
) -> None:
    """Copy runs, their child runs and their models to the target's store, for jobs to use.

    Example: inv mlflow-push train
    """
    from remote.operations.tracking.push_runs import push_runs
    from remote.operations.tracking.select_runs import Selection

    server = server_of(target)
    selection = Selection(tuple(run or ()), experiment, traces, registry)
    pushed = push_runs(server, selection, dry_run=dry_run)
    tell_target(server, pushed, dry_run=dry_run)
    if dry_run:
        names = (*pushed.runs, *pushed.models, *pushed.traces, *pushed.registered, *pushed.files)
        print_lines(*(f"copy    {name}" for name in names))
    _tell_pushed(server, pushed, "would copy" if dry_run else "copied")
    if pushed.model and not dry_run:
        print_lines(f"In a job on the server: mlflow.pyfunc.load_model({pushed.model!r})")
    exit_unless_all(pushed.problems, "copied")


def _tell_pushed(server: TargetSession, pushed: PushedRuns, verb: str) -> None:
    parts = [f"{plural(len(pushed.runs), 'run')} ({pushed.new_runs} new)"]
    for names, noun in (
        (pushed.models, "model"),
        (pushed.traces, "trace"),
        (pushed.registered, "registered model"),
    ):
        if names:
            parts.append(plural(len(names), noun))
    parts += [plural(len(pushed.files), "artifact"), size(pushed.bytes), f"{pushed.seconds:.1f} s"]
    print_lines(f"{verb} to {server.target}: {', '.join(parts)}")
    say_first([f"refused: {text}" for text in pushed.refused], "refused")
    if pushed.obstacle:
        say(f"{server.target}: {pushed.obstacle}.")
    if pushed.left_out:
        say(f"not merged on the server: {', '.join(pushed.left_out)}")
    if pushed.without:
        more = ", …" if len(pushed.without) > SHOWN else ""
        say(f"without local artifacts: {', '.join(pushed.without[:SHOWN])}{more}")
    from remote.operations.sync import say_problems

    say_problems(pushed.problems, "copied")
    if pushed.replaced:
        count = plural(len(pushed.replaced), "artifact")
        say(f"{count} differed on the server; the old versions are kept there in {pushed.backup}/")


@command(
    positional=["store"],
    help={
        "store": "a .db file, a folder with mlflow.db or mlruns, or a sqlite:/// address",
        "artifacts": "the folder that holds the store's mlruns (default: the store's own folder)",
        "theirs": THEIRS_HELP,
    },
    json=True,
)
def mlflow_merge(
    c: Context,
    store: str,
    artifacts: str = "",
    registry: bool = False,
    dry_run: bool = False,
    theirs: bool = False,
) -> None:
    """Merge another MLflow store on this machine, such as a colleague's or an old project's.

    Example: inv mlflow-merge ../colleague
    """
    from remote.operations.tracking.merge_records import merge_store

    project = find_project()
    registry = registry_asked(project, registry)
    records = merge_store(
        project, store, artifacts=artifacts, registry=registry, dry_run=dry_run, theirs=theirs
    )
    tell(store=store, dry_run=dry_run, **vars(records), export=None)
    _report(project, records, store, store, dry_run=dry_run)


def _report(project: Project, records: Records, source: str, target: str, *, dry_run: bool) -> None:
    """Tell what was merged, and export it."""
    if records.summary is not None:
        verb = "would merge" if dry_run else "merged"
        print_lines(f"{verb} {source}: {merge_report.line(records)}")
        merge_report.remarks(records)
    elif not records.unreadable:
        say(f"{target} has no MLflow records yet.")
    tell(export=merge_report.finish(project, records, records.problems, target, dry_run=dry_run))
    merge_report.refuse_unreadable(records, target)
    exit_unless_all(records.problems, "pulled")


@command(
    positional=["conflict"],
    iterable=["conflict"],
    help={
        "conflict": "numbers of the list, or the beginning of a run's id (default: all)",
        "theirs": "take the other store's value",
        "ours": "keep your value, and drop the conflict from the list",
    },
    json=True,
)
def mlflow_conflicts(
    c: Context,
    conflict: list[str] | None = None,
    theirs: bool = False,
    ours: bool = False,
) -> None:
    """List values changed both locally and on the server since the last pull; yours were kept.

    Example: inv mlflow-conflicts
    """
    from remote.operations.tracking.conflict_list import choose, listed, resolve

    project = find_project()
    entries = choose(listed(project), conflict or [], theirs=theirs, ours=ours)
    settled = "theirs" if theirs else "ours" if ours else None
    conflicts = [
        {"number": entry.number, "source": entry.source, **vars(entry.conflict)}
        for entry in entries
    ]
    tell(conflicts=conflicts, settled=settled)
    for entry in entries:
        value = entry.conflict
        other = "removed" if value.theirs is None else repr(value.theirs)
        print_lines(
            f"{entry.number:3}  {value.table} {value.key} {value.column}:"
            f" yours {value.ours!r}, theirs {other} ({entry.source})"
        )
    if theirs or ours:
        resolve(project, entries, theirs=theirs)
        outcome = "theirs taken" if theirs else "yours kept"
        say(f"{plural(len(entries), 'conflict')} resolved: {outcome}.")
    elif not entries:
        say("No conflicts.")
    else:
        say("Yours were kept. To take theirs: inv mlflow-conflicts --theirs NUMBER (or --ours)")


@command(
    positional=["store"],
    help={
        "store": "a store's file, its project's folder, or sqlite:///… (default: mlflow.db)",
        "mend": "fix what can be fixed; the store is copied first",
    },
    json=True,
)
def mlflow_check(c: Context, store: str = "", mend: bool = False) -> None:
    """Check an MLflow store: the file, the paths in it, artifacts, the files in mlruns.

    The exit code is 1 if a problem remains.
    Example: inv mlflow-check
    """
    from remote.operations.tracking.check_store import check

    checked = check(store, mending=mend)
    tell(**vars(checked))
    if checked.backup:
        print_lines(f"copy of the old store: {checked.backup}")
    for finding in checked.mended:
        print_lines(f"fixed   {_finding_line(finding)}")
    mending = shlex.join(["inv", "mlflow-check", *filter(None, [store]), "--mend"])
    for finding in checked.findings:
        step = f"{finding.step}; then {mending}" if finding.mend_after else finding.step
        print_lines(f"wrong   {_finding_line(finding)}", f"{'':8}next: {step or mending}")
    for run, text in checked.left.items():
        print_lines(f"left on the server  {text}", f"{'':8}next: inv remote-fetch {run[:8]}")
    if checked.findings:
        raise Exit(f"{plural(len(checked.findings), 'problem')} in {checked.store}.", code=1)
    print_lines(f"{checked.store} is sound.")


def _finding_line(finding: Finding) -> str:
    """What was found, with some examples."""
    examples = ", ".join(finding.items[:_EXAMPLES])
    more = ", …" if len(finding.items) > _EXAMPLES else ""
    return f"{finding.name}: {finding.message}" + (f": {examples}{more}" if examples else "")
