"""`inv mlflow-push`: give runs to the target's MLflow store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke.context import Context
from invoke.tasks import task

from remote.tasks.exits import plural, say, size, told
from remote.tasks.program_flags import WordsTask
from remote.tasks.sync import TARGET_HELP, server_of

if TYPE_CHECKING:
    from remote.operations.tracking.push_runs import Given
    from remote.session import Server

SHOWN = 5


@task(
    klass=WordsTask,
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
@told
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
    from remote.operations.tracking.push_runs import give
    from remote.operations.tracking.select_runs import Wish

    server = server_of(target)
    wish = Wish(tuple(run or ()), experiment, traces, registry)
    given = give(server, wish, say=say, dry_run=dry_run)
    if json:
        _print_json(server, given, dry_run)
        return
    if dry_run:
        for each in (*given.runs, *given.models, *given.traces, *given.registered, *given.files):
            _print(f"give    {each}")
    _print(_line(server, given, dry_run))
    _remarks(given)
    if given.model and not dry_run:
        _print(f"In a job there: mlflow.pyfunc.load_model({given.model!r})")


def _line(server: Server, given: Given, dry_run: bool) -> str:
    parts = [f"{plural(len(given.runs), 'run')} ({given.new_runs} new there)"]
    for things, noun in (
        (given.models, "model"),
        (given.traces, "trace"),
        (given.registered, "registered model"),
    ):
        if things:
            parts.append(plural(len(things), noun))
    parts += [plural(len(given.files), "artifact"), size(given.bytes), f"{given.seconds:.1f} s"]
    verb = "would give" if dry_run else "gave"
    return f"{verb} to {server.target}: {', '.join(parts)}"


def _remarks(given: Given) -> None:
    for text in given.refused[:SHOWN]:
        say(f"refused: {_printable(text)}")
    if len(given.refused) > SHOWN:
        say(f"… and {len(given.refused) - SHOWN} more refused")
    if given.without:
        more = ", …" if len(given.without) > SHOWN else ""
        say(f"without artifacts here: {', '.join(given.without[:SHOWN])}{more}")
    if given.replaced:
        count = plural(len(given.replaced), "artifact")
        say(f"{count} there differed; what was there is kept there in {given.backup}/")


def _print(line: str) -> None:
    print(_printable(line), flush=True)


def _printable(text: str) -> str:
    """Names must not steer this terminal."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def _print_json(server: Server, given: Given, dry_run: bool) -> None:
    import json
    from dataclasses import asdict

    document = {"target": str(server.target), "dry_run": dry_run, **asdict(given)}
    print(json.dumps(document, indent=2))


TASKS = (mlflow_push,)
