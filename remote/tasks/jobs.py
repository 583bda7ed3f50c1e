"""`inv remote-run`, `remote-ps`, `remote-logs`, `remote-stop`: jobs on the target."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Mapping, Optional

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from remote.job import ENDED, FINISHED
from remote.tasks.flags import NotebookTask, WordsTask
from remote.tasks.sync import TARGET_HELP, push_line, server_of
from remote.tasks.told import duration, say, told

if TYPE_CHECKING:
    from remote.server import Server

HEADER: tuple[str, ...] = ("JOB", "STATE", "TIME", "AT", "RESULT")
JOB_HELP = "a job's id, a unique part of it, or `last`"


@task(
    klass=NotebookTask,
    positional=["notebook"],
    help={
        "notebook": "a notebook in src/notebooks/, or a path to one",
        "target": TARGET_HELP,
        "follow": "stay and show the job's log; Ctrl-C leaves the job running",
    },
)
@told
def remote_run(
    c: Context,
    notebook: str,
    target: str = "",
    follow: bool = False,
    parameters: Optional[Mapping[str, Any]] = None,
) -> None:
    """Push, then run a notebook on the server in tmux; its parameters are flags.

    inv remote-run train.ipynb --help lists the parameters of train.ipynb.
    """
    from remote import notebook as notebooks
    from remote.operations.push import push
    from remote.operations.submit import describe, submit

    server = server_of(target)
    root = server.project.root
    source = notebooks.read(notebooks.find(root, notebook), root)
    job = describe(server.project, source, parameters or {})
    pushed = push(server)
    say(push_line(server, pushed))
    submitted = submit(server, job, say=say)
    print(submitted.id, flush=True)
    if not submitted.environment_ready:
        say("Its environment is made first (once for each lock file); the log shows how far it is.")
    if follow:
        _follow(server, submitted.id, wait=True)
        return
    say(f"log:  inv remote-logs {submitted.id} --follow")
    say(f"stop: inv remote-stop {submitted.id}")
    say("then: make sync-pull && mlflow ui")


@task(
    klass=WordsTask,
    positional=["job"],
    help={
        "job": JOB_HELP,
        "target": TARGET_HELP,
        "follow": "stay and show the log as it grows",
        "tail": "only the last N lines",
    },
)
@told
def remote_logs(
    c: Context, job: str, target: str = "", follow: bool = False, tail: int = 0
) -> None:
    """Show the log of a job (JOB may be shortened, or `last`)."""
    _follow(server_of(target), job, wait=follow, tail=tail)


def _follow(server: Server, job: str, *, wait: bool, tail: int = 0) -> None:
    from remote.operations.jobs import follow

    try:
        answer = follow(server, job, wait=wait, tail=tail, out=_write, say=say)
    except KeyboardInterrupt:
        if not wait:
            raise
        say(f"\nThe job goes on. Its log: inv remote-logs {job} --follow")
        raise Exit(code=130) from None
    status = answer["status"]
    if wait and status["state"] != FINISHED:
        cause = f" ({status['cause']})" if status.get("cause") else ""
        raise Exit(f"{answer['id']} {status['state']}{cause}", code=status.get("exit_code") or 1)


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


@task(help={"target": TARGET_HELP, "all": "all jobs, not only the newest twenty"})
@told
def remote_ps(c: Context, target: str = "", all: bool = False) -> None:
    """List the jobs of the target: state, how long, how far."""
    from remote.operations.jobs import listing

    server = server_of(target)
    answer = listing(server)
    jobs = answer["jobs"] if all else answer["jobs"][-20:]
    if not jobs:
        say(f"No job on {server.target} yet. Start one: inv remote-run train.ipynb")
    rows = [_row(job, answer["now"]) for job in jobs]
    _print_table([HEADER, *rows] if rows else [])


def _row(job: dict[str, Any], now: float) -> tuple[str, ...]:
    start = job.get("started") or job["submitted"]
    ended = job.get("ended") or now
    progress = job.get("progress") or {}
    at = f"cell {progress['cell']}/{progress['cells']}" if progress else ""
    outcome = job.get("result") or job.get("cause") or ""
    return job["id"], job["state"], duration(ended - start), at, outcome


def _print_table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(cell) for cell in column) for column in zip(*rows)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


@task(klass=WordsTask, positional=["job"], help={"job": JOB_HELP, "target": TARGET_HELP})
@told
def remote_stop(c: Context, job: str, target: str = "") -> None:
    """End a job; its MLflow run ends as KILLED, and what its notebook did so far is kept."""
    from remote.operations.jobs import stop

    start = time.monotonic()
    answer = stop(server_of(target), job)
    state = answer["status"]["state"]
    if answer["already"]:
        print(f"{answer['id']} had ended already: {state}")
    else:
        print(f"{answer['id']} {state} after {duration(time.monotonic() - start)}")
    assert state in ENDED


TASKS = (remote_run, remote_ps, remote_logs, remote_stop)
