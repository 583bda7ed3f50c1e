"""What a client can call about jobs. Each tool answers what its command prints with `--json`.

The docstrings and descriptions are what a client's model reads.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Annotated, NamedTuple

import anyio.from_thread
from mcp.server.mcpserver import Context
from pydantic import Field

from remote.answers import of_target
from remote.api import Job
from remote.config import find_project
from remote.errors import JobError
from remote.job.fields import NAME
from remote.job.messages.jobs import JobsAnswer, JobsRequest
from remote.job.status import ENDED
from remote.mcp.limits import LONGEST_TEXT
from remote.mcp.reach import (
    JOB_ID,
    LIMIT,
    Address,
    Answer,
    JobName,
    SweepName,
    Targets,
    error_in,
    of_all,
    of_sweep,
    pool,
    reach,
    refuse_silence,
    sweep_of,
)
from remote.operations.jobs import sweep_jobs
from remote.operations.jobs.follow import JobOutcome
from remote.operations.pool import ask_all
from remote.operations.sweep_record import Sweep
from remote.output import plain_log, printable
from remote.session import TargetSession
from remote.tasks.jobs import exit_as
from remote.tasks.sweep_jobs import exit_unless_finished, exit_unless_stopped
from remote.tasks.sync import refuse_sweep
from remote.transport import process

#: Seconds between two looks of a wait.
LOOK = 2.0


def ps(
    job: Annotated[
        str, Field(max_length=NAME, description=f"one job: {JOB_ID}; or a sweep: its id")
    ] = "",
    newest: Annotated[int, Field(ge=1, le=100, description="how many ended jobs at most")] = 20,
    target: Targets = "",
) -> Answer:
    """List the newest jobs and those that go on, or tell all about one, or list those of a sweep:
    `inv remote-ps`."""
    if sweep := sweep_of(job):
        return _look_at_sweep(sweep).answer

    def ask(server: TargetSession) -> JobsAnswer:
        named = (job,) if job else ()
        return server.agent.call(JobsRequest(key=server.key, newest=newest, jobs=named))

    if servers := pool(target):
        replies = ask_all(servers, ask)
        refuse_silence(replies)
        return of_all([reply for reply in replies if reply.answer or not job])
    server = reach(target).session
    with process.limited(LIMIT):
        return of_target(server, ask(server))


def log(
    job: JobName = "last",
    tail: Annotated[int, Field(ge=1, le=2000, description="how many last lines")] = 100,
    most: Annotated[int, Field(ge=1, le=30_000, description="how many last bytes at most")] = 8000,
    target: Address = "",
) -> Answer:
    """The end of a job's log, and its state: `inv remote-logs`. Control characters are escaped."""
    refuse_sweep(job)
    there = reach(target)
    with process.limited(LIMIT):
        status = Job(there, job).summary
        text = plain_log(Job(there, status.id).log(tail, most=most))
    if len(text) > LONGEST_TEXT:
        # By what was escaped it is longer than it was, and its end matters.
        text = f"…{text[1 - LONGEST_TEXT :]}"
    return of_target(there.session, {"id": status.id, "state": status.state, "text": text})


def wait(
    context: Context,
    job: SweepName = "last",
    seconds: Annotated[
        float, Field(ge=0, le=3600, description="how long at most; 0 checks once")
    ] = 45,
    target: Address = "",
) -> Answer:
    """Wait until a job, or all of a sweep, has ended, but no longer than `seconds`; then its `status`.

    The state is finished, failed, stopped or lost if it has ended. Otherwise, wait again.
    """
    start, sweep = time.monotonic(), sweep_of(job)
    while True:
        # A connection may end in between, and `last` be another one soon.
        seen = _look_at_sweep(sweep) if sweep else _look_at(job, target)
        job, waited = seen.id, time.monotonic() - start
        if seen.end or waited >= seconds:
            end = error_in(target, seen.end) if seen.end else None
            return seen.answer | {"error": end}
        # Where the client has cancelled the call, or gone, this ends it.
        anyio.from_thread.check_cancelled()
        anyio.from_thread.run(context.report_progress, waited, seconds, printable(seen.words))
        time.sleep(min(LOOK, seconds - waited))


class _Look(NamedTuple):
    """A look at what is waited for: what is answered of it; of what has ended, how the command ends."""

    id: str
    answer: Answer
    words: str
    end: Callable[[], None] | None


def _look_at(job: str, target: str) -> _Look:
    there = reach(target)
    with process.limited(LIMIT):
        status = Job(there, job).summary
    at = f", cell {status.progress.cell} of {status.progress.cells}" if status.progress else ""
    end = partial(exit_as, status.id, status) if status.state in ENDED else None
    answer = of_target(there.session, JobOutcome(status.id, status=status))
    return _Look(status.id, answer, f"{status.id} {status.state}{at}", end)


def _look_at_sweep(sweep: Sweep) -> _Look:
    replies = sweep_jobs.look(find_project(), sweep)
    refuse_silence(replies)
    states, has_ended = sweep_jobs.states(replies), sweep_jobs.have_ended(replies)
    words = ", ".join(f"{count} {state}" for state, count in states.items())
    end = partial(exit_unless_finished, sweep, replies) if has_ended else None
    answer = of_sweep(sweep, replies, states=states)
    return _Look(sweep.id, answer, f"{sweep.id}: {words}", end)


def stop(job: SweepName, target: Address = "") -> Answer:
    """End a job, or all of a sweep: `inv remote-stop`. Its run ends as KILLED, and what it has written
    stays.

    One that has ended stays as it was.
    """
    if sweep := sweep_of(job):
        replies = sweep_jobs.stop(find_project(), sweep)
        refuse_silence(replies)
        end = partial(exit_unless_stopped, sweep, replies)
        return of_sweep(sweep, replies, error=error_in(target, end))
    there = reach(target)
    with process.limited(LIMIT):
        answer = there.stop(job)
    for going in (each for each in answer.stopped if each.problem):
        raise JobError(f"{going.id}: {going.problem}.", "Look again: inv remote-ps")
    return of_target(there.session, answer)
