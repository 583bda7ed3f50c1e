"""Start jobs on the target: `inv remote-run`, `remote-setup`, `remote-rerun`; and those that serve a
page, which is opened here: `remote-lab`, `remote-tensorboard`, `remote-ui`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from invoke.context import Context

from remote.config import find_project
from remote.errors import JobError
from remote.next_steps import name_target
from remote.operations.jobs.run_options import (
    LabOptions,
    RunOptions,
    ServiceOptions,
    ShellOptions,
    TensorboardOptions,
)
from remote.output import plural, print_lines, say
from remote.tasks.declare import HELP, command
from remote.tasks.jobs import exit_as
from remote.tasks.result import tell, tell_target
from remote.tasks.sync import pool_of, pull_and_tell, server_of, sweep_of
from remote.tasks.transfer_report import exit_unless_all

if TYPE_CHECKING:
    from remote.job.messages.jobs import SubmitAnswer
    from remote.job.spec import JobSpec
    from remote.programs.program import Program
    from remote.session import TargetSession


@command(
    positional=["program"],
    options=RunOptions,
    help={
        "program": "a notebook (of src/notebooks/, or a path), script, module, or MLproject folder",
        "follow": "stay and show the job's log; Ctrl-C leaves the job running",
        "pull": "stay until the job has ended, then pull",
        "shell": "a shell command line, in the place of a program",
    },
    json=True,
)
def remote_run(
    c: Context,
    program: str = "",
    target: str = "",
    follow: bool = False,
    pull: bool = False,
    shell: str = "",
    entry_point: str = "",
    options: RunOptions = RunOptions(),
    parameters: Mapping[str, Any] | None = None,
    arguments: Sequence[str] = (),
) -> None:
    """Push, then run a program on the server in tmux; a notebook's parameters are flags.

    What follows -- reaches a script unchanged: inv remote-run src/train.py -- -m lr=0.1,0.2
    Without a program it is a command: inv remote-run -- nvidia-smi -L
    inv remote-run train.ipynb --help lists the parameters of train.ipynb.
    """
    from remote.operations.jobs.submit import describe, push_and_submit

    what, project = _program(program, entry_point, shell, arguments), find_project()
    options = options.completed(project.settings)
    if options.after:
        from remote.operations.jobs.sweep_jobs import after_sweep

        options = after_sweep(project, options)
    rest = arguments if program else ()
    job = describe(project, what, parameters or {}, arguments=rest, options=options)
    server = _server_for(job, target)
    _attend(server, push_and_submit(server, job), follow=follow, pull=pull)


def _server_for(job: JobSpec, target: str) -> TargetSession:
    """The target that is named; of several, the one where the job starts first."""
    servers = pool_of(target)
    if not servers:
        return server_of(target)
    from remote.operations.placement import place_one

    server = place_one(servers, job)
    name_target(server.target.label)
    return server


def _program(name: str, entry_point: str, shell: str, arguments: Sequence[str]) -> Program:
    from remote.programs.program import Command, ShellLine, find

    if (name != "") + (shell != "") + bool(arguments and not name) > 1:
        raise JobError("A program, --shell, or a command after --: only one of them can run.")
    if name:
        return find(find_project().root, name, entry_point)
    if shell:
        return ShellLine(shell)
    if arguments:
        return Command(tuple(arguments))
    raise JobError(
        "inv remote-run needs a program.", "Such as: inv remote-run train.ipynb --epoch 10"
    )


def _attend(server: TargetSession, submitted: SubmitAnswer, *, follow: bool, pull: bool) -> None:
    """Say which job it is, and stay with it as long as was asked."""
    from remote.operations.jobs.follow import JobOutcome, follow_log

    is_ready = submitted.environment_ready
    tell_target(server, JobOutcome(submitted.id, is_ready))
    print_lines(submitted.id)
    if not is_ready:
        say("Its environment is made first (once for each lock file); the log shows how far it is.")
    if not follow and not pull:
        say(f"log:  inv remote-logs {submitted.id} --follow")
        say(f"stop: inv remote-stop {submitted.id}")
        say("then: make sync-pull && mlflow ui")
        return
    name, status = follow_log(server, submitted.id, wait=True, silent=not follow)
    tell(status=status)
    problems = pull_and_tell(server).problems if pull else []
    exit_as(name, status, shown=follow)
    exit_unless_all(problems, "pulled")


@command(iterable=["extra"], help={"extra": "an extra of the lock file; may come again"}, json=True)
def remote_setup(c: Context, target: str = "", extra: Sequence[str] | None = None) -> None:
    """Push, and make the environment for the lock file ahead of the first job."""
    from remote.operations.jobs.follow import JobOutcome, follow_log
    from remote.operations.jobs.submit import describe, push_and_submit
    from remote.programs.program import Command

    project, servers = find_project(), pool_of(target)
    options = RunOptions(gpus=0, name="setup", record=False, extras=tuple(extra or ()))
    job = describe(project, Command(("true",)), {}, options=options)
    if servers:
        from remote.tasks import pools

        pools.set_up_all(servers, job)
        return
    server = server_of(target)
    submitted = push_and_submit(server, job)
    if submitted.environment_ready:
        say("The environment is there already.")
    name, status = follow_log(server, submitted.id, wait=True)
    is_ready = submitted.environment_ready
    tell_target(server, JobOutcome(name, is_ready, status))
    exit_as(name, status, shown=True)


@command(
    positional=["job"],
    help={
        "target": HELP["target"] + ", where the job ran",
        "on": "another target to run it on now",
        "theirs": "run what the first target says it was, not what was submitted from here",
        "resume": "go on with what the job has kept in REMOTE_JOB_STATE_DIR",
        "lost": "all jobs that the server's last restart took, and that were not run again",
        "follow": "stay and show the new job's log",
        "pull": "stay until the new job has ended, then pull",
    },
    json=True,
)
def remote_rerun(
    c: Context,
    job: str = "last",
    target: str = "",
    on: str = "",
    theirs: bool = False,
    resume: bool = False,
    lost: bool = False,
    follow: bool = False,
    pull: bool = False,
) -> None:
    """Run a job again exactly: its frozen code, its parameters, its lock file."""
    from remote.operations.jobs.rerun import rerun, rerun_lost

    if sweep := sweep_of(job):
        from remote.tasks.sweep_jobs import rerun_sweep

        if on or theirs or follow or pull or lost:
            raise JobError("A sweep runs again where it was.", "Only --resume goes with it.")
        rerun_sweep(find_project(), sweep, resume=resume)
        return
    source = server_of(target)
    if lost:
        if job != "last" or on or theirs or follow or pull:
            raise JobError(
                "--lost runs all lost jobs again, each where it was.", "Only --resume goes with it."
            )
        started = rerun_lost(source, resume=resume)
        tell_target(source, {"started": [{"lost": old, "id": new} for old, new in started]})
        print_lines(*(f"{old} -> {new}" for old, new in started))
        say(f"{plural(len(started), 'job')} started again")
        return
    there = server_of(on) if on else source
    submitted = rerun(source, job, target=there, theirs=theirs, resume=resume)
    _attend(there, submitted, follow=follow, pull=pull)


@command(options=LabOptions)
def remote_lab(c: Context, target: str = "", options: LabOptions = LabOptions()) -> None:
    """Open JupyterLab on the target, on its whole machine, through a tunnel.

    It goes on there when Ctrl-C closes the tunnel; inv remote-lab opens it again.
    """
    from remote.operations import saved_files, services

    if options.bring:
        saved_files.bring_and_tell(server_of(target))
    else:
        services.serve(server_of(target), services.LAB, options)


@command(options=ShellOptions)
def remote_shell(
    c: Context,
    target: str = "",
    options: ShellOptions = ShellOptions(),
    arguments: Sequence[str] = (),
) -> None:
    """Open a shell on the target, in the environment of its jobs and a tmux of its own.

    It goes on there when Ctrl-B D leaves it, and ends with its last window; inv remote-shell goes
    back to it. In the place of a shell: inv remote-shell --gpus 1 -- python -m pdb src/train.py
    A command that has ended leaves its last screens here, and its exit code.
    """
    from remote.operations.shell import open_shell

    if not (options.background or options.stop or sys.stdin.isatty()):
        raise JobError(
            "remote-shell needs a terminal.",
            "To start it and no more: inv remote-shell --background",
        )
    job, status = open_shell(server_of(target), options, tuple(arguments))
    if status:
        exit_as(job, status, shown=True)


@command(options=TensorboardOptions)
def remote_tensorboard(
    c: Context, target: str = "", options: TensorboardOptions = TensorboardOptions()
) -> None:
    """Open TensorBoard on the target's logs, through a tunnel."""
    from remote.operations import services

    services.serve(server_of(target), services.TENSORBOARD, options)


@command(options=ServiceOptions)
def remote_ui(c: Context, target: str = "", options: ServiceOptions = ServiceOptions()) -> None:
    """Open mlflow ui on the target's own records, through a tunnel."""
    from remote.operations import services

    services.serve(server_of(target), services.UI, options)
