"""The jobs of a sweep as a whole: listed, waited for, stopped, run again, removed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from invoke.exceptions import Exit

from remote.config import Project
from remote.errors import JobError
from remote.files import read_json
from remote.job.status import ENDED, FINISHED
from remote.output import draw_screen, plural, print_lines, say, size, table
from remote.tasks.result import tell, tell_now
from remote.tasks.sweep import exit_unless_started, show_started
from remote.tasks.sync import registry_asked

if TYPE_CHECKING:
    from remote.job.messages.jobs import JobsAnswer
    from remote.operations.sweep_record import Sweep
    from remote.session import TargetSession

#: Seconds between two looks of `--watch`.
LOOK = 2.0


def list_sweep(project: Project, sweep: Sweep, *, watch: bool) -> None:
    """Show a table of its jobs."""
    said = set[str]()
    while True:
        answers = _ask(project, sweep, said)
        if not watch:
            print_lines(*_lines(sweep, answers))
            return
        tell_now()
        draw_screen([f"{sweep.id}  {time.strftime('%H:%M:%S')}", *_lines(sweep, answers)])
        time.sleep(LOOK)


def _lines(sweep: Sweep, answers: Sequence[tuple[str, JobsAnswer]]) -> list[str]:
    from remote.tasks import tables

    values = {job.id: job.values for job in sweep.jobs}
    job_title, *titles = tables.JOB_HEADER
    rows: list[tuple[str, ...]] = [("TARGET", job_title, "VALUES", *titles)]
    for label, answer in answers:
        for job in answer.jobs:
            shown = " ".join(f"{name}={value}" for name, value in values.get(job.id, {}).items())
            first, *rest = tables.row(job, answer.now)
            rows.append((label, first, shown, *rest))
    return table(rows)


def _ask(project: Project, sweep: Sweep, said: set[str]) -> list[tuple[str, JobsAnswer]]:
    """What its targets say of its jobs; who doesn't answer is said, unless it was `said` before."""
    from remote.job.messages.jobs import JobsRequest
    from remote.operations.pool import ask_all

    def ask(server: TargetSession) -> JobsAnswer:
        ids = sweep.on(server.target.label)
        with suppress(JobError):
            return server.agent.call(JobsRequest(key=server.key, jobs=ids))
        # One of them is there no more.
        answer = server.agent.call(JobsRequest(key=server.key))
        return answer.replace(jobs=tuple(job for job in answer.jobs if job.id in ids))

    replies = ask_all(_servers(project, sweep), ask)
    tell(sweep=sweep.id, jobs=sweep.jobs, targets=replies)
    silent = [f"{reply.server.target.label}: {reply.words}" for reply in replies if reply.error]
    say(*(line for line in silent if line not in said))
    said.update(silent)
    return [(reply.server.target.label, reply.answer) for reply in replies if reply.answer]


def _servers(project: Project, sweep: Sweep) -> list[TargetSession]:
    from remote.session import TargetSession

    return [TargetSession.of(project, project.target(name)) for name in sweep.targets]


def stop_sweep(project: Project, sweep: Sweep) -> None:
    """End all of its jobs, wherever they are."""
    from remote.job.messages.jobs import StopAnswer, StopRequest
    from remote.operations.pool import ask_all

    def ask(server: TargetSession) -> StopAnswer:
        ids = sweep.on(server.target.label)
        return server.agent.call(StopRequest(key=server.key, jobs=ids))

    failed, replies = False, ask_all(_servers(project, sweep), ask, limit=None)
    tell(sweep=sweep.id, jobs=sweep.jobs, targets=replies)
    for reply in replies:
        label = reply.server.target.label
        failed |= bool(reply.error)
        if reply.error:
            say(f"{label}: {reply.words}")
        for ended in reply.answer.stopped if reply.answer else ():
            failed |= bool(ended.problem)
            before = "had ended already: " if ended.already else ""
            print_lines(f"{ended.id} {ended.problem or before + ended.status.state}")
    if failed:
        raise Exit(f"Look again: inv remote-ps {sweep.id}", code=1)


def rerun_sweep(project: Project, sweep: Sweep, *, resume: bool) -> None:
    """Start all of its jobs once more, as a new sweep."""
    from remote.operations.jobs.sweep import rerun_all

    servers = {server.target.label: server for server in _servers(project, sweep)}
    again = rerun_all(project, sweep, servers, resume=resume)
    tell(sweep=again.id, jobs=again.jobs)
    started = sum(bool(job.id) for job in again.jobs)
    if started:
        show_started(again)
        say(f"list: inv remote-ps {again.id}", f"stop: inv remote-stop {again.id}")
    exit_unless_started(started, len(sweep.jobs))


def remove_sweep(project: Project, sweep: Sweep, *, force: bool) -> None:
    """Remove the folders of all of its jobs, wherever they are; exit with 1 where one stays."""
    from remote.job.messages.old_jobs import RemoveAnswer, RemoveRequest
    from remote.operations.pool import ask_all

    def ask(server: TargetSession) -> RemoveAnswer:
        pulled, ids = tuple(read_json(server.pulled) or ()), sweep.on(server.target.label)
        request = RemoveRequest(key=server.key, jobs=ids, pulled=pulled, force=force)
        return server.agent.call(request)

    replies = ask_all(_servers(project, sweep), ask, limit=None)
    tell(sweep=sweep.id, jobs=sweep.jobs, targets=replies)
    for reply in replies:
        label = reply.server.target.label
        if reply.answer:
            freed = size(reply.answer.bytes)
            print_lines(
                f"{label}: removed {plural(len(reply.answer.removed), 'job')}, {freed} freed"
            )
        else:
            say(f"{label}: {reply.words}")
    if any(reply.error for reply in replies):
        raise Exit("Not all of them were removed.", code=1)


def wait_for_sweep(project: Project, sweep: Sweep, *, pull: bool) -> None:
    """Wait until all of its jobs have ended, then pull where that was asked; exit with 1 where one
    hasn't finished well."""
    said = set[str]()
    while True:
        answers = _ask(project, sweep, said)
        jobs = [job for _, answer in answers for job in answer.jobs]
        if len(answers) == len(sweep.targets) and all(job.state in ENDED for job in jobs):
            break
        time.sleep(LOOK)
    print_lines(*_lines(sweep, answers))
    if pull:
        from remote.tasks import pools

        pools.pull_all(
            _servers(project, sweep),
            dry_run=False,
            registry=registry_asked(project, False),
            theirs=False,
            part="pulled",
        )
    # Of one that was never started, or is there no more, nobody knows that it finished.
    failed = len(sweep.jobs) - sum(job.state == FINISHED for job in jobs)
    if failed:
        raise Exit(f"{failed} of {plural(len(sweep.jobs), 'job')} did not finish.", code=1)
