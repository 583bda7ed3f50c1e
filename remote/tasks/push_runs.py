"""`inv mlflow-push`: give runs to the target's MLflow store."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from invoke.context import Context
from invoke.tasks import task

from remote.output import SHOWN, plural, print_json, print_lines, say, say_first, size
from remote.tasks.argparse_task import ArgparseTask
from remote.tasks.exits import exit_on_error
from remote.tasks.sync import TARGET_HELP, server_of

if TYPE_CHECKING:
    from remote.operations.tracking.push_runs import PushedRuns
    from remote.session import TargetSession


@task(
    klass=ArgparseTask,
    positional=["run"],
    iterable=["run"],
    help={
        "run": "ids of runs (the first 4 characters or more will do), or their names",
        "experiment": "all runs of the experiment with this name",
        "target": TARGET_HELP,
        "traces": "the runs' traces too",
        "registry": "the versions of registered models that these runs made, too",
        "dry-run": "show what would be given, change nothing",
        "json": "print what was done as JSON",
    },
)
@exit_on_error
def mlflow_push(
    c: Context,
    run: list[str] | None = None,
    experiment: str = "",
    target: str = "",
    traces: bool = False,
    registry: bool = False,
    dry_run: bool = False,
    json: bool = False,
) -> None:
    """Give runs, those below them and their models to the target, so that jobs there have them."""
    from remote.operations.tracking.push_runs import push_runs
    from remote.operations.tracking.select_runs import Selection

    server = server_of(target)
    selection = Selection(tuple(run or ()), experiment, traces, registry)
    pushed = push_runs(server, selection, say=say, dry_run=dry_run)
    if json:
        print_json({"target": str(server.target), "dry_run": dry_run, **asdict(pushed)})
        return
    if dry_run:
        names = (*pushed.runs, *pushed.models, *pushed.traces, *pushed.registered, *pushed.files)
        print_lines(*(f"give    {name}" for name in names))
    print_lines(_line(server, pushed, dry_run))
    _remarks(pushed)
    if pushed.model and not dry_run:
        print_lines(f"In a job there: mlflow.pyfunc.load_model({pushed.model!r})")


def _line(server: TargetSession, pushed: PushedRuns, dry_run: bool) -> str:
    parts = [f"{plural(len(pushed.runs), 'run')} ({pushed.new_runs} new there)"]
    for names, noun in (
        (pushed.models, "model"),
        (pushed.traces, "trace"),
        (pushed.registered, "registered model"),
    ):
        if names:
            parts.append(plural(len(names), noun))
    parts += [plural(len(pushed.files), "artifact"), size(pushed.bytes), f"{pushed.seconds:.1f} s"]
    verb = "would give" if dry_run else "gave"
    return f"{verb} to {server.target}: {', '.join(parts)}"


def _remarks(pushed: PushedRuns) -> None:
    say_first([f"refused: {text}" for text in pushed.refused], "refused")
    if pushed.without:
        more = ", …" if len(pushed.without) > SHOWN else ""
        say(f"without artifacts here: {', '.join(pushed.without[:SHOWN])}{more}")
    if pushed.replaced:
        count = plural(len(pushed.replaced), "artifact")
        say(f"{count} there differed; what was there is kept there in {pushed.backup}/")


TASKS = (mlflow_push,)
