"""`inv remote-sweep`, and its jobs as a whole: listed, waited for, stopped, run again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from invoke.context import Context
from invoke.exceptions import Exit

from remote.config import Project, find_project
from remote.errors import JobError
from remote.operations.jobs.run_options import RunOptions
from remote.output import plural, print_lines, say, table
from remote.tasks.declare import command
from remote.tasks.result import tell
from remote.tasks.sync import pool_of, server_of

if TYPE_CHECKING:
    from remote.operations.pool import Reply
    from remote.operations.sweep_record import Sweep
    from remote.programs.program import Program

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
    """Push once, and start a job for each combination of values.

    Example: inv remote-sweep train.ipynb --learning-rate 0.003,0.01 --batch-size 16,32
    Values of a script follow --: inv remote-sweep src/train.py -- --task Digits_A,Digits_B
    """
    from remote.operations.jobs.sweep import describe_all, start
    from remote.operations.jobs.sweep_jobs import after_sweep
    from remote.operations.placement import placed
    from remote.programs.alternatives import combinations, once

    project = find_project()
    options = after_sweep(project, options.completed(project.settings))
    typed = combinations(parameters or {}, arguments)
    chosen = once(typed)
    if len(chosen) < len(typed):
        say(f"Some values are repeated: {plural(len(chosen), 'job')} instead of {len(typed)}.")
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
    sweep, replies = start(project, jobs, values, servers, lambda: placed(servers, jobs))
    if len(replies) == 1 and replies[0].error:
        raise replies[0].error
    tell(sweep=sweep.id, jobs=sweep.jobs, targets=replies)
    show_started(sweep)
    _say_how_to_go_on(sweep, [(reply.server.target.label, _words(reply)) for reply in replies])


def _program(project: Project, name: str, entry_point: str, arguments: Sequence[str]) -> Program:
    from remote.programs.program import Command, find

    if name:
        return find(project.root, name, entry_point)
    if arguments:
        return Command(tuple(arguments))
    raise JobError(
        "inv remote-sweep needs a program.",
        "Such as: inv remote-sweep train.ipynb --learning-rate 0.003,0.01 --batch-size 16,32",
    )


def _words(reply: Reply[Any]) -> str:
    return reply.words or (reply.answer.problem if reply.answer else "")


def _show_values(values: Sequence[Mapping[str, Any]]) -> None:
    names = [*values[0]] if values else []
    print_lines(*table([("", *names), *(_row(n, each) for n, each in enumerate(values, 1))]))


def _row(number: int, values: Mapping[str, Any]) -> tuple[str, ...]:
    return str(number), *map(str, values.values())


def show_started(sweep: Sweep) -> None:
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
    exit_unless_started(started, len(sweep.jobs))


def exit_unless_started(started: int, of: int) -> None:
    if started < of:
        raise Exit(f"{plural(of - started, 'job')} of {of} could not be started.", code=1)
