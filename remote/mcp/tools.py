"""What a client can call. Each tool answers what its command prints with `--json`.

The docstrings and descriptions are what a client's model reads.
"""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Callable
from typing import Annotated, Any

import anyio.from_thread
from mcp.server.mcpserver import Context
from pydantic import Field

from remote import api
from remote.answers import of_target
from remote.api import Job, Target
from remote.config import find_project
from remote.errors import JobError
from remote.job.fields import NAME, VALUE
from remote.job.messages.jobs import JobSummary
from remote.job.status import ENDED
from remote.mcp.job_options import job_options
from remote.operations.jobs.follow import JobOutcome
from remote.output import plain_log, printable
from remote.tasks.sync import registry_asked
from remote.transport import process

#: Seconds for an answer that is one look, and between two looks of a wait.
LIMIT = 60.0
LOOK = 2.0

Answer = dict[str, Any]

Address = Annotated[
    str,
    Field(
        max_length=NAME,
        description="the address or name of a target (default: the project's usual one)",
    ),
]
JobName = Annotated[
    str,
    Field(min_length=1, max_length=NAME, description="a job's id, a unique part of it, or `last`"),
]
DryRun = Annotated[bool, Field(description="only report what would be done")]


def _reach(address: str) -> Target:
    """The target, logged in to; raises RemoteError."""
    target = Target(address)
    if target.session.ssh:
        # Nobody sits at a terminal whom ssh could ask.
        with process.limited(LIMIT):
            target.session.ssh.connect(may_ask=False)
    return target


def push(target: Address = "", dry_run: DryRun = False) -> Answer:
    """Send the project to the server: `inv sync-push`. `run` does so by itself.

    The server's copy of the code becomes the same as the local one: files deleted locally are
    deleted on the server. Results of jobs are not touched. Old versions are kept on the server in
    the folder `backup`.
    """
    there = _reach(target)
    return of_target(there.session, there.push(dry_run=dry_run), dry_run=dry_run)


def run(
    program: Annotated[
        str, Field(max_length=NAME, description="a notebook, script, module or MLproject folder")
    ] = "",
    parameters: Annotated[
        dict[str, Any] | None,
        Field(max_length=1000, description="a notebook's or MLproject's, by their names"),
    ] = None,
    arguments: Annotated[
        list[str] | None,
        Field(max_length=1000, description="the words of a script's command line"),
    ] = None,
    shell: Annotated[
        str, Field(max_length=VALUE, description="a shell command line in place of a program")
    ] = "",
    target: Address = "",
    **options: Any,
) -> Answer:
    """Push, and start a job: `inv remote-run`. Returns its `id` at once; `wait` waits for its end.

    Each call starts another job.
    """
    there = _reach(target)
    given = {name: value for name, value in options.items() if value is not None}
    job = there.run(program, parameters, arguments=arguments or (), shell=shell, **given)
    return of_target(there.session, JobOutcome(job.id, job.environment_ready))


def ps(
    job: Annotated[
        str, Field(max_length=NAME, description="one job: its id, a unique part of it, or `last`")
    ] = "",
    newest: Annotated[int, Field(ge=1, le=100, description="how many ended jobs at most")] = 20,
    target: Address = "",
) -> Answer:
    """List the newest jobs and the running ones, or details of one: `inv remote-ps`."""
    there = _reach(target)
    with process.limited(LIMIT):
        jobs = there.look(*([job] if job else ()), newest=newest)
    return of_target(there.session, jobs)


def log(
    job: JobName = "last",
    tail: Annotated[int, Field(ge=1, le=2000, description="how many last lines")] = 100,
    most: Annotated[int, Field(ge=1, le=30_000, description="how many last bytes at most")] = 8000,
    target: Address = "",
) -> Answer:
    """The end of a job's log, and its state: `inv remote-logs`. Control characters are escaped."""
    there = _reach(target)
    with process.limited(LIMIT):
        status = Job(there, job).summary
        text = plain_log(Job(there, status.id).log(tail, most=most))
    return of_target(there.session, {"id": status.id, "state": status.state, "text": text})


def wait(
    context: Context,
    job: JobName = "last",
    seconds: Annotated[
        float, Field(ge=0, le=3600, description="how long at most; 0 checks once")
    ] = 45,
    target: Address = "",
) -> Answer:
    """Wait until a job has ended, but no longer than `seconds`; then its `status`.

    The state is finished, failed, stopped or lost if it has ended. Otherwise, wait again.
    """
    start = time.monotonic()
    while True:
        # Each time, since a connection may end in between.
        there = _reach(target)
        with process.limited(LIMIT):
            status = Job(there, job).summary
        # `last` may be another one soon.
        job, waited = status.id, time.monotonic() - start
        if status.state in ENDED or waited >= seconds:
            return of_target(there.session, JobOutcome(status.id, status=status))
        # Where the client has cancelled the call, or gone, this ends it.
        anyio.from_thread.check_cancelled()
        anyio.from_thread.run(context.report_progress, waited, seconds, _progress(status))
        time.sleep(min(LOOK, seconds - waited))


def _progress(job: JobSummary) -> str:
    at = f", cell {job.progress.cell} of {job.progress.cells}" if job.progress else ""
    return printable(f"{job.id} {job.state}{at}")


def stop(job: JobName, target: Address = "") -> Answer:
    """Stop a job: `inv remote-stop`. Its MLflow run ends as KILLED, and its output is kept.

    A job that has ended is not changed.
    """
    there = _reach(target)
    with process.limited(LIMIT):
        answer = there.stop(job)
    for going in (each for each in answer.stopped if each.problem):
        raise JobError(f"{going.id}: {going.problem}.", "Look again: inv remote-ps")
    return of_target(there.session, answer)


def pull(target: Address = "", dry_run: DryRun = False) -> Answer:
    """Copy results here, and merge the server's MLflow records into the local ones: `inv sync-pull`.

    Local files that differ are replaced, and kept in the folder `backup`. A second pull changes nothing.
    """
    there = _reach(target)
    registry = registry_asked(there.project, flag=False)
    return of_target(there.session, there.pull(dry_run=dry_run, registry=registry), dry_run=dry_run)


def records(
    filter: Annotated[
        str,
        Field(max_length=NAME, description="as in MLflow's search: metrics.loss < 0.5"),
    ] = "",
    newest: Annotated[int, Field(ge=1, le=100, description="how many runs at most")] = 20,
) -> Answer:
    """The newest MLflow runs of the local store, with parameters and metrics; `pull` updates it."""
    table = api.records(find_project(), filter, newest=newest)
    rows = json.loads(table.to_json(orient="records", date_format="iso"))
    return {
        "runs": [{key: value for key, value in row.items() if _tells(key, value)} for row in rows]
    }


def _tells(column: str, value: object) -> bool:
    return value is not None and not column.startswith("tags.mlflow.")


def _with_options(body: Callable[..., Answer]) -> None:
    """Have the flags of `remote-run` among the arguments."""
    signature = inspect.signature(body, eval_str=True)
    *own, _ = signature.parameters.values()
    vars(body)["__signature__"] = signature.replace(parameters=[*own, *job_options()])


_with_options(run)
