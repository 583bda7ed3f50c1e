"""What a client can call that starts jobs. Each tool answers what its command prints with `--json`.

The docstrings and descriptions are what a client's model reads.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any

from pydantic import Field

from remote import api
from remote.answers import of_target
from remote.config import find_project
from remote.errors import JobError
from remote.job.fields import NAME, VALUE
from remote.mcp.job_options import job_options
from remote.mcp.reach import (
    Address,
    Answer,
    DryRun,
    SweepName,
    Targets,
    error_in,
    of_sweep,
    pool,
    reach,
    refuse_silence,
    sweep_of,
)
from remote.operations.jobs import rerun as again
from remote.operations.jobs import sweep as sweeps
from remote.operations.jobs.follow import JobOutcome
from remote.operations.jobs.submit import push_and_submit
from remote.operations.jobs.sweep_jobs import servers_of
from remote.operations.placement import place_one, placed
from remote.operations.pool import Reply
from remote.operations.sweep_record import Sweep
from remote.programs.alternatives import combinations, once
from remote.tasks.sweep import exit_unless_started

Program = Annotated[
    str, Field(max_length=NAME, description="a notebook, script, module or MLproject folder")
]


def run(
    program: Program = "",
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
    target: Targets = "",
    **options: Any,
) -> Answer:
    """Push, and start a job: `inv remote-run`. Returns its `id` at once; `wait` waits for its end.

    Each call starts another job. Of several targets, it goes where it starts first.
    """
    project, given = find_project(), _given(options)
    job = api.described(
        project, program, parameters, arguments=arguments or (), shell=shell, **given
    )
    servers = pool(target)
    server = reach(place_one(servers, job).target.label if servers else target).session
    answer = push_and_submit(server, job)
    return of_target(server, JobOutcome(answer.id, answer.environment_ready))


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def sweep(
    program: Annotated[Program, Field(min_length=1)],
    parameters: Annotated[
        dict[str, Annotated[list[Any], Field(min_length=1, max_length=1000)]] | None,
        Field(
            max_length=1000,
            description="a notebook's or MLproject's: by each name, the list of its values",
        ),
    ] = None,
    arguments: Annotated[
        list[str] | None,
        Field(
            max_length=1000,
            description="the words of a script's command line, values separated by commas:"
            ' ["--lr", "0.1,0.01"]',
        ),
    ] = None,
    target: Targets = "",
    dry_run: DryRun = False,
    **options: Any,
) -> Answer:
    """Push once, and start a job for each combination of values: `inv remote-sweep`.

    Returns the id of the `sweep` at once; `ps`, `wait`, `stop` and `rerun` take it in place of a job.
    Each call starts another sweep. Of several targets, each job goes where it starts first.
    """
    project, given = find_project(), parameters or {}
    chosen = once(combinations(given, arguments or ()))
    values = [each.values for each in chosen]
    what = api.find_with(project, program, given)
    wanted = api.job_options(project, _given(options))
    jobs = sweeps.describe_all(project, what, chosen, wanted)
    if dry_run:
        planned = [{"target": "", "id": "", "values": dict(each)} for each in values]
        return {"error": None, "sweep": "", "jobs": planned, "targets": []}
    servers = pool(target) or [reach(target).session]
    started, replies = sweeps.start(project, jobs, values, servers, lambda: placed(servers, jobs))
    return _of_started(target, started, replies, len(jobs))


def _of_started(target: str, sweep: Sweep, replies: Sequence[Reply[Any]], of: int) -> Answer:
    count = sum(bool(job.id) for job in sweep.jobs)
    if not count:
        refuse_silence(replies)
    end = partial(exit_unless_started, count, of)
    return of_sweep(sweep, replies, error=error_in(target, end))


def rerun(
    job: SweepName,
    resume: Annotated[
        bool, Field(description="go on with what it has kept in REMOTE_JOB_STATE_DIR")
    ] = False,
    on: Annotated[
        str, Field(max_length=NAME, description="another target to run it on (not for a sweep)")
    ] = "",
    target: Address = "",
) -> Answer:
    """Run a job, or all of a sweep, again exactly: its frozen code, its parameters: `inv remote-rerun`.

    Each call starts another job.
    """
    if sweep := sweep_of(job):
        if on:
            raise JobError("A sweep runs again where it was.", "Leave out `on`.")
        project = find_project()
        servers = servers_of(project, sweep)
        new, replies = sweeps.rerun_all(project, sweep, servers, resume=resume)
        return _of_started(target, new, replies, len(sweep.jobs))
    source = reach(target).session
    there = reach(on).session if on else source
    answer = again.rerun(source, job, target=there, resume=resume)
    return of_target(there, JobOutcome(answer.id, answer.environment_ready))


def _with_options(body: Callable[..., Answer]) -> None:
    """Have the flags of `remote-run` among the arguments."""
    signature = inspect.signature(body, eval_str=True)
    *own, _ = signature.parameters.values()
    vars(body)["__signature__"] = signature.replace(parameters=[*own, *job_options()])


_with_options(run)
_with_options(sweep)
