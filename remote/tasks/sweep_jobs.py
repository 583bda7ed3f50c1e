"""The jobs of a sweep as a whole: listed, waited for, stopped, run again, removed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from invoke.exceptions import Exit

from remote.config import Project
from remote.job.status import FINISHED, UNKNOWN
from remote.output import draw_screen, plural, print_lines, say, size, table
from remote.tasks.result import tell, tell_now
from remote.tasks.sweep import exit_unless_started, show_started
from remote.tasks.sync import registry_asked

if TYPE_CHECKING:
    from remote.job.messages.jobs import JobsAnswer, StopAnswer
    from remote.operations.pool import Reply
    from remote.operations.sweep_record import Sweep

#: Seconds between two looks of `--watch`.
LOOK = 2.0


def list_sweep(project: Project, sweep: Sweep, *, watch: bool) -> None:
    """Show a table of its jobs."""
    said = set[str]()
    while True:
        replies = _look(project, sweep, said)
        if not watch:
            print_lines(*_lines(sweep, replies))
            return
        tell_now()
        draw_screen([f"{sweep.id}  {time.strftime('%H:%M:%S')}", *_lines(sweep, replies)])
        time.sleep(LOOK)


def _lines(sweep: Sweep, replies: Sequence[Reply[JobsAnswer]]) -> list[str]:
    from remote.tasks import tables

    values = {job.id: job.values for job in sweep.jobs}
    job_title, *titles = tables.JOB_HEADER
    rows: list[tuple[str, ...]] = [("TARGET", job_title, "VALUES", *titles)]
    for reply in replies:
        for job in reply.answer.jobs if reply.answer else ():
            assert reply.answer
            shown = " ".join(f"{name}={value}" for name, value in values.get(job.id, {}).items())
            first, *rest = tables.row(job, reply.answer.now)
            rows.append((reply.server.target.label, first, shown, *rest))
    return table(rows)


def _look(project: Project, sweep: Sweep, said: set[str]) -> list[Reply[JobsAnswer]]:
    """What its targets say of its jobs; who doesn't answer is said, unless it was `said` before."""
    from remote.operations.jobs.sweep_jobs import look, states

    replies = look(project, sweep)
    tell(sweep=sweep.id, states=states(replies), jobs=sweep.jobs, targets=replies)
    silent = [f"{reply.server.target.label}: {reply.words}" for reply in replies if reply.error]
    say(*(line for line in silent if line not in said))
    said.update(silent)
    return replies


def stop_sweep(project: Project, sweep: Sweep) -> None:
    """End all of its jobs, wherever they are."""
    from remote.operations.jobs.sweep_jobs import stop

    replies = stop(project, sweep)
    tell(sweep=sweep.id, jobs=sweep.jobs, targets=replies)
    for reply in replies:
        if reply.error:
            say(f"{reply.server.target.label}: {reply.words}")
        for ended in reply.answer.stopped if reply.answer else ():
            before = "had ended already: " if ended.already else ""
            print_lines(f"{ended.id} {ended.problem or before + ended.status.state}")
    exit_unless_stopped(sweep, replies)


def exit_unless_stopped(sweep: Sweep, replies: Sequence[Reply[StopAnswer]]) -> None:
    """Exit with 1 where one of its jobs may go on."""
    if any(
        reply.answer is None or any(ended.problem for ended in reply.answer.stopped)
        for reply in replies
    ):
        raise Exit(f"Not all of them have ended.\nLook again: inv remote-ps {sweep.id}", code=1)


def rerun_sweep(project: Project, sweep: Sweep, *, resume: bool) -> None:
    """Start all of its jobs once more, as a new sweep."""
    from remote.operations.jobs.sweep import rerun_all
    from remote.operations.jobs.sweep_jobs import servers_of

    again, replies = rerun_all(project, sweep, servers_of(project, sweep), resume=resume)
    tell(sweep=again.id, jobs=again.jobs, targets=replies)
    started = sum(bool(job.id) for job in again.jobs)
    if started:
        show_started(again)
        say(f"list: inv remote-ps {again.id}", f"stop: inv remote-stop {again.id}")
    exit_unless_started(started, len(sweep.jobs))


def remove_sweep(project: Project, sweep: Sweep, *, force: bool) -> None:
    """Remove the folders of all of its jobs, wherever they are; exit with 1 where one stays."""
    from remote.operations.jobs.sweep_jobs import remove

    replies = remove(project, sweep, force=force)
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
    from remote.operations.jobs.sweep_jobs import have_ended, servers_of

    said = set[str]()
    while not have_ended(replies := _look(project, sweep, said)):
        _say_unknown(replies, said)
        time.sleep(LOOK)
    print_lines(*_lines(sweep, replies))
    try:
        if pull:
            from remote.tasks import pools

            pools.pull_all(
                servers_of(project, sweep),
                dry_run=False,
                registry=registry_asked(project, False),
                theirs=False,
                part="pulled",
            )
    except Exit:
        # As with one job, how the jobs ended goes before what could not be pulled.
        exit_unless_finished(sweep, replies)
        raise
    exit_unless_finished(sweep, replies)


def _say_unknown(replies: Sequence[Reply[JobsAnswer]], said: set[str]) -> None:
    """Say of which jobs nobody can tell whether they go on, unless it was `said` before."""
    jobs = [job for reply in replies if reply.answer for job in reply.answer.jobs]
    lines = [f"{job.id} is {job.in_words}" for job in jobs if job.state == UNKNOWN]
    say(*(line for line in lines if line not in said))
    said.update(lines)


def exit_unless_finished(sweep: Sweep, replies: Sequence[Reply[JobsAnswer]]) -> None:
    """Exit with 1 where one of its jobs hasn't finished."""
    jobs = [job for reply in replies if reply.answer for job in reply.answer.jobs]
    # Of one that was never started, or is there no more, nobody knows that it finished.
    failed = len(sweep.jobs) - sum(job.state == FINISHED for job in jobs)
    if failed:
        raise Exit(f"{failed} of {plural(len(sweep.jobs), 'job')} did not finish.", code=1)
