"""A sweep: one job for each combination of what was typed, by one push and one request for each target."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from remote.config import Project
from remote.errors import ConnectError, RemoteError
from remote.job.messages.jobs import SubmitAnswer
from remote.job.paths import slug
from remote.job.spec import Git, JobSpec
from remote.operations.jobs.pending import PendingSubmission
from remote.operations.jobs.rerun import rerun
from remote.operations.jobs.run_options import RunOptions
from remote.operations.jobs.submission import Submission
from remote.operations.jobs.submit import describe, push_until_accepted, with_settings
from remote.operations.pool import Reply, ask_all
from remote.operations.sweep_record import LETTERS, NAME_LENGTH, Sweep, SweepJob, find_sweep
from remote.operations.transfers.push_guard import push_lock
from remote.output import say
from remote.programs.alternatives import Combination
from remote.programs.parameter import Asked
from remote.programs.program import Program
from remote.session import TargetSession


def describe_all(
    project: Project,
    program: Program,
    combinations: Sequence[Combination],
    options: RunOptions,
) -> list[JobSpec]:
    """What is asked of each job; raises RemoteError."""
    one = combinations[0]
    first = describe(project, program, one.parameters, arguments=one.arguments, options=options)
    jobs = [first]
    for each in combinations[1:]:
        spec = program.job_spec(project.root, Asked(each.parameters, each.arguments, ""))
        own = ("parameters", "defaults", "arguments")
        jobs.append(first.replace(**{name: getattr(spec, name) for name in own}))
    return jobs


def start(
    project: Project,
    jobs: Sequence[JobSpec],
    values: Sequence[Mapping[str, Any]],
    servers: Sequence[TargetSession],
    choose: Callable[[], Sequence[TargetSession]],
) -> tuple[Sweep, list[Reply[SubmitAnswer]]]:
    """Push once to each target, and start the jobs there; what became of each target's.

    `choose` tells which of the `servers` each job goes to. The same command, typed again before all
    have answered, goes on with the same sweep.
    """
    labels = {server.target.label: server for server in servers}
    command = ["sweep", [*labels], [job.replace(git=Git()).to_json() for job in jobs]]
    pending = PendingSubmission.of(project.state, command)
    number = f"{slug(jobs[0].name)[:NAME_LENGTH].strip('-_')}-{pending.id[:LETTERS]}"
    sweep = find_sweep(project.state, number) if pending.is_repeated else None
    if sweep is None:
        order = [server.target.label for server in choose()]
        sweep = _planned(number, jobs[0], order, values)
        # By that, the same command goes on where this one was cut off.
        sweep.write(project.state)
    named, used = _by_target(sweep, jobs), dict.fromkeys(job.target for job in sweep.jobs)

    def ask(server: TargetSession) -> SubmitAnswer:
        own = hashlib.sha256(f"{pending.id} {server.key}".encode()).hexdigest()[:32]
        return _start_on(server, named[server.target.label], own, is_usual=len(used) == 1)

    with push_lock(project):
        replies = ask_all([labels[name] for name in used], ask, limit=None)
    sweep = _with_ids(sweep, replies)
    sweep.write(project.state)
    if not any(isinstance(reply.error, ConnectError) for reply in replies):
        pending.answered()
        if not sweep.targets:
            sweep.forget(project.state)
    return sweep, replies


def _planned(
    number: str, job: JobSpec, order: Sequence[str], values: Sequence[Mapping[str, Any]]
) -> Sweep:
    return Sweep(
        id=number,
        name=job.name,
        program=job.program,
        user=job.user,
        submitted=time.time(),
        jobs=tuple(SweepJob(target=to, values=each) for to, each in zip(order, values)),
    )


def _by_target(sweep: Sweep, jobs: Sequence[JobSpec]) -> dict[str, list[JobSpec]]:
    """The jobs of each target, by names that tell which of the sweep they are."""
    width, named = len(str(len(jobs))), dict[str, list[JobSpec]]()
    for number, (planned, job) in enumerate(zip(sweep.jobs, jobs), 1):
        name = f"{sweep.id}-{number:0{width}}"
        named.setdefault(planned.target, []).append(job.replace(sweep=sweep.id, name=name))
    return named


def _start_on(
    server: TargetSession, jobs: Sequence[JobSpec], request: str, *, is_usual: bool
) -> SubmitAnswer:
    """Push, and start these jobs on one target; the caller holds the push lock."""
    jobs = [with_settings(job, server.settings) for job in jobs]
    with contextlib.ExitStack() as way:
        submission = Submission(server, None, way, request=request)
        answer = push_until_accepted(submission, jobs[0], jobs[1:], is_usual=is_usual)
        return submission.attend(answer)


def _with_ids(sweep: Sweep, replies: Sequence[Reply[SubmitAnswer]]) -> Sweep:
    """The same with the ids of those that were started, which may not have ended yet."""
    ids = {
        reply.server.target.label: iter(reply.answer.ids or (reply.answer.id,))
        for reply in replies
        if reply.answer
    }
    named = (
        job.replace(id=next(ids[job.target], "")) if job.target in ids else job
        for job in sweep.jobs
    )
    return sweep.replace(jobs=tuple(named), ended=False)


def rerun_all(
    project: Project, sweep: Sweep, servers: Sequence[TargetSession], *, resume: bool
) -> tuple[Sweep, list[Reply[SubmitAnswer]]]:
    """Start all jobs of a sweep once more, each where it was, as a new sweep; what each of the targets
    answered. Where that is cut off, or a server gives no answer, the same command goes on with it; what
    can't run again is said, and no part of it."""
    again = _again(project, sweep)
    # None of them is asked for its login in between.
    reached = ask_all(servers, lambda server: SubmitAnswer(id=""))
    silent = {reply.server.target.label: reply for reply in reached if reply.error}
    started, failed = dict[str, Reply[SubmitAnswer]](), dict[str, Reply[SubmitAnswer]]()
    by_label = {server.target.label: server for server in servers}
    for at, (old, new) in enumerate(zip(sweep.jobs, again.jobs)):
        if old.id and not new.id and old.target not in silent:
            server, name = by_label[old.target], f"{again.id}-{at + 1:0{len(str(len(again.jobs)))}}"
            try:
                answer = rerun(
                    server, old.id, target=server, resume=resume, sweep=again.id, name=name
                )
            except ConnectError as error:
                silent[old.target] = Reply(server, error=error)
                continue
            except RemoteError as error:
                failed.setdefault(old.target, Reply(server, error=error))
                say(f"{old.target}: {error.message}")
                continue
            started[old.target] = Reply(server, answer)
            jobs = list(again.jobs)
            jobs[at] = new.replace(id=answer.id)
            again = again.replace(jobs=tuple(jobs), ended=False)
            again.write(project.state)
    if silent:
        say(*(f"{target}: {reply.words}" for target, reply in silent.items()))
        say("The same command continues with it, and starts nothing twice.")
    else:
        again = again.replace(jobs=tuple(job for job in again.jobs if job.id))
    if again.targets:
        again.write(project.state)
    return again, [*{**started, **failed, **silent}.values()]


def _again(project: Project, sweep: Sweep) -> Sweep:
    """The sweep that is begun, or was not wholly started before."""
    for number in itertools.count(1):
        letters = hashlib.sha256(f"{sweep.id} {number}".encode()).hexdigest()[:LETTERS]
        again = find_sweep(project.state, f"{sweep.id[: -LETTERS - 1]}-{letters}")
        if again is None:
            jobs = tuple(job.replace(id="") for job in sweep.jobs)
            return sweep.replace(
                id=f"{sweep.id[: -LETTERS - 1]}-{letters}",
                submitted=time.time(),
                jobs=jobs,
                ended=False,
            )
        if any(old.id and not new.id for old, new in zip(sweep.jobs, again.jobs)):
            return again
    raise AssertionError("numbers end")
