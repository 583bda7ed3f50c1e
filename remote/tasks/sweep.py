"""`inv remote-sweep`, and its jobs as a whole: listed, waited for, stopped, run again."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from invoke.context import Context
from invoke.exceptions import Exit

from remote.config import Project, find_project
from remote.errors import JobError
from remote.job.status import ENDED, FINISHED
from remote.operations.jobs.run_options import RunOptions
from remote.output import draw_screen, plural, print_lines, say, table
from remote.tasks.declare import command
from remote.tasks.result import tell, tell_now
from remote.tasks.sync import pool_of, registry_asked, server_of, sweep_of

if TYPE_CHECKING:
    from remote.job.messages.jobs import JobsAnswer
    from remote.operations.pool import Reply
    from remote.operations.sweep_record import Sweep
    from remote.programs.program import Program
    from remote.session import TargetSession

#: Seconds between two looks of `--watch`.
LOOK = 2.0


@command(
    positional=["program"],
    options=RunOptions,
    several=True,
    help={
        "program": "a notebook, script, module or MLproject folder, as for remote-run",
        "dry-run": "show the jobs, start none",
    },
    json=True,
)
def remote_sweep(
    c: Context,
    program: str = "",
    target: str = "",
    entry_point: str = "",
    dry_run: bool = False,
    options: RunOptions = RunOptions(),
    parameters: Mapping[str, Any] | None = None,
    arguments: Sequence[str] = (),
) -> None:
    """Push once, and start a job for each combination of the values that are typed.

    Values are separated by commas: inv remote-sweep train.ipynb --lr 0.1,0.01 --batch-size 8,16
    Those of a script follow --: inv remote-sweep src/train.py -- --lr 0.1,0.01
    """
    from remote.operations.jobs.sweep import describe_all, start
    from remote.operations.placement import place
    from remote.programs.alternatives import combinations

    project = find_project()
    options = after_sweep(options.completed(project.settings))
    alternatives = {
        name: value if isinstance(value, list) else [value]
        for name, value in (parameters or {}).items()
    }
    chosen = combinations(alternatives, arguments)
    jobs = describe_all(
        project, _program(project, program, entry_point, arguments), chosen, options
    )
    values = [each.values for each in chosen]
    if dry_run:
        planned = [{"target": "", "id": "", "values": each} for each in values]
        tell(sweep="", jobs=planned, targets=[])
        _show_values(values)
        return
    servers = pool_of(target) or [server_of(target)]

    def choose() -> list[TargetSession]:
        return place(servers, jobs[0], len(jobs)) if len(servers) > 1 else servers * len(jobs)

    sweep, replies = start(project, jobs, values, servers, choose)
    if len(replies) == 1 and replies[0].error:
        raise replies[0].error
    tell(sweep=sweep.id, jobs=sweep.jobs, targets=replies)
    _show_started(sweep)
    _say_how_to_go_on(sweep, [(reply.server.target.label, _words(reply)) for reply in replies])


def after_sweep(options: RunOptions) -> RunOptions:
    """The same, with the whole id of a sweep that a job is to follow; raises JobError."""
    sweep = sweep_of(options.after)
    if sweep is None:
        return options
    if len(sweep.targets) > 1:
        raise JobError(
            f"{sweep.id} runs on {', '.join(sweep.targets)}; a job follows what is on its own target.",
            f"Start it when that has ended: inv remote-wait {sweep.id}",
        )
    return replace(options, after=sweep.id)


def _program(project: Project, name: str, entry_point: str, arguments: Sequence[str]) -> Program:
    from remote.programs.program import Command, find

    if name:
        return find(project.root, name, entry_point)
    if arguments:
        return Command(tuple(arguments))
    raise JobError(
        "inv remote-sweep needs a program.",
        "Such as: inv remote-sweep train.ipynb --lr 0.1,0.01 --batch-size 8,16",
    )


def _words(reply: Reply[Any]) -> str:
    return reply.words or (reply.answer.problem if reply.answer else "")


def _show_values(values: Sequence[Mapping[str, Any]]) -> None:
    names = [*values[0]] if values else []
    print_lines(*table([("", *names), *(_row(n, each) for n, each in enumerate(values, 1))]))


def _row(number: int, values: Mapping[str, Any]) -> tuple[str, ...]:
    return str(number), *map(str, values.values())


def _show_started(sweep: Sweep) -> None:
    rows = [("TARGET", "JOB", *sweep.jobs[0].values)]
    rows += [(job.target, job.id or "-", *map(str, job.values.values())) for job in sweep.jobs]
    print_lines(*table(rows))


def _say_how_to_go_on(sweep: Sweep, words: Sequence[tuple[str, str]]) -> None:
    """Say how to go on; exit with 1 where a job could not be started."""
    started = sum(bool(job.id) for job in sweep.jobs)
    for target, text in words:
        if text:
            say(f"{target}: {text}")
    if started:
        say(f"list: inv remote-ps {sweep.id}", f"stop: inv remote-stop {sweep.id}")
        where = "" if len(sweep.targets) == 1 else " --target all"
        say(f"then: inv sync-pull{where} && mlflow ui")
    _exit_unless_all(started, len(sweep.jobs))


def _exit_unless_all(started: int, of: int) -> None:
    if started < of:
        raise Exit(f"{plural(of - started, 'job')} of {of} could not be started.", code=1)


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
    if again.jobs:
        _show_started(again)
        say(f"list: inv remote-ps {again.id}", f"stop: inv remote-stop {again.id}")
    _exit_unless_all(len(again.jobs), len(sweep.jobs))


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
