"""The jobs of a sweep as a whole, on all targets that have some: looked at, ended, followed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from remote.config import Project
from remote.errors import JobError
from remote.files import read_json
from remote.job.messages.jobs import JobsAnswer, JobsRequest, StopAnswer, StopRequest
from remote.job.messages.old_jobs import RemoveAnswer, RemoveRequest
from remote.job.status import ENDED
from remote.operations.jobs.run_options import RunOptions
from remote.operations.pool import Reply, ask_all
from remote.operations.sweep_record import Sweep, find_sweep
from remote.session import TargetSession

Answer = TypeVar("Answer")


def after_sweep(project: Project, options: RunOptions) -> RunOptions:
    """The same, with the whole id of a sweep that a job is to follow; raises JobError."""
    sweep = find_sweep(project.state, options.after)
    if sweep is None:
        return options
    if len(sweep.targets) > 1:
        raise JobError(
            f"{sweep.id} is on {', '.join(sweep.targets)}, and a job can only follow what is on its own"
            " target.",
            f"Start the job when the sweep has ended: inv remote-wait {sweep.id}",
        )
    return replace(options, after=sweep.id)


def servers_of(project: Project, sweep: Sweep) -> list[TargetSession]:
    """The targets that have jobs of it; raises ConfigError."""
    return [TargetSession.of(project, project.target(name)) for name in sweep.targets]


def look(project: Project, sweep: Sweep) -> list[Reply[JobsAnswer]]:
    """What its targets say of its jobs."""

    def ask(server: TargetSession) -> JobsAnswer:
        ids = sweep.on(server.target.label)
        with suppress(JobError):
            return server.agent.call(JobsRequest(key=server.key, jobs=ids))
        # One of them is there no more.
        return _there(server, ids)

    return ask_all(servers_of(project, sweep), ask)


def _there(server: TargetSession, ids: Sequence[str]) -> JobsAnswer:
    """What a target says of those of these jobs that it still has."""
    answer = server.agent.call(JobsRequest(key=server.key))
    return answer.replace(jobs=tuple(job for job in answer.jobs if job.id in ids))


def states(replies: Sequence[Reply[JobsAnswer]]) -> Counter[str]:
    """How many of its jobs are in each state, as far as its targets answer."""
    return Counter(job.state for reply in replies if reply.answer for job in reply.answer.jobs)


def have_ended(replies: Sequence[Reply[JobsAnswer]]) -> bool:
    """Whether all of its jobs have, as far as they are there; not where a target gives no answer."""
    return all(
        reply.answer is not None and all(job.state in ENDED for job in reply.answer.jobs)
        for reply in replies
    )


def stop(project: Project, sweep: Sweep) -> list[Reply[StopAnswer]]:
    """End all of its jobs, wherever they are."""

    def ask(server: TargetSession) -> StopAnswer:
        def end(ids: tuple[str, ...]) -> StopAnswer:
            # Where none is named, any is meant.
            request = StopRequest(key=server.key, jobs=ids)
            return server.agent.call(request) if ids else StopAnswer(stopped=())

        return _of_all_there(server, sweep, end)

    return ask_all(servers_of(project, sweep), ask, limit=None)


def remove(project: Project, sweep: Sweep, *, force: bool) -> list[Reply[RemoveAnswer]]:
    """Remove the folders of all of its jobs, wherever they are."""

    def ask(server: TargetSession) -> RemoveAnswer:
        def go(ids: tuple[str, ...]) -> RemoveAnswer:
            pulled = tuple(read_json(server.pulled) or ())
            request = RemoveRequest(key=server.key, jobs=ids, pulled=pulled, force=force)
            return server.agent.call(request)

        return _of_all_there(server, sweep, go)

    return ask_all(servers_of(project, sweep), ask, limit=None)


def _of_all_there(
    server: TargetSession, sweep: Sweep, ask: Callable[[tuple[str, ...]], Answer]
) -> Answer:
    """What is answered for its jobs on a target, without those that are there no more."""
    ids = sweep.on(server.target.label)
    with suppress(JobError):
        return ask(ids)
    return ask(tuple(job.id for job in _there(server, ids).jobs))
