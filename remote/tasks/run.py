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
        "follow": "show the log until the job has ended; Ctrl-C leaves the job running",
        "pull": "wait until the job has ended, then pull",
        "shell": "a shell command line instead of a program",
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
    """Push, then run a program on the server; a notebook's parameters are flags.

    Example: inv remote-run train.ipynb --epoch 1000
    Parameters of train.ipynb: inv remote-run train.ipynb --help
    Arguments of a script: inv remote-run src/train.py -- --task Digits_B
    A command instead of a program: inv remote-run -- nvidia-smi -L
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
        say("Its environment is made first (once for each lock file); the log shows the progress.")
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


@command(iterable=["extra"], help={"extra": "an extra of the lock file; repeatable"}, json=True)
def remote_setup(c: Context, target: str = "", extra: Sequence[str] | None = None) -> None:
    """Push, and make the environment of the lock file before the first job.

    Example: inv remote-setup
    """
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
        say("The environment exists already.")
    name, status = follow_log(server, submitted.id, wait=True)
    is_ready = submitted.environment_ready
    tell_target(server, JobOutcome(name, is_ready, status))
    exit_as(name, status, shown=True)


@command(
    positional=["job"],
    help={
        "target": HELP["target"] + ", where the job ran",
        "on": "another target to run it on",
        "theirs": "trust the description of the job on its server, where the local record differs",
        "resume": "continue from the files that the job kept in REMOTE_JOB_STATE_DIR",
        "lost": "all jobs lost in the server's last restart and not rerun since",
        "follow": "show the new job's log until it has ended",
        "pull": "wait until the new job has ended, then pull",
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
    """Run a job again exactly: its frozen code, its parameters, its lock file.

    Example: inv remote-rerun last --follow
    """
    from remote.operations.jobs.rerun import rerun, rerun_lost
    from remote.tasks.sweep import exit_unless_started

    if sweep := sweep_of(job):
        from remote.tasks.sweep_jobs import rerun_sweep

        if on or theirs or follow or pull or lost:
            raise JobError("A sweep is rerun on its own targets.", "Only --resume can be added.")
        rerun_sweep(find_project(), sweep, resume=resume)
        return
    source = server_of(target)
    if lost:
        if job != "last" or on or theirs or follow or pull:
            raise JobError(
                "--lost reruns all lost jobs on their own target.", "Only --resume can be added."
            )
        asked = rerun_lost(source, resume=resume)
        started = [(old, new) for old, new in asked if new]
        tell_target(source, {"started": [{"lost": old, "id": new} for old, new in started]})
        print_lines(*(f"{old} -> {new}" for old, new in started))
        say(f"{plural(len(started), 'job')} started again")
        exit_unless_started(len(started), len(asked))
        return
    there = server_of(on) if on else source
    submitted = rerun(source, job, target=there, theirs=theirs, resume=resume)
    _attend(there, submitted, follow=follow, pull=pull)


@command(options=LabOptions)
def remote_lab(c: Context, target: str = "", options: LabOptions = LabOptions()) -> None:
    """Open JupyterLab on the server, through a tunnel.

    It keeps running when Ctrl-C closes the tunnel; inv remote-lab opens it again, --stop ends it.
    Example: inv remote-lab --gpus 1
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
    """Open a shell on the server, in the environment of the jobs and a tmux session of its own.

    Ctrl-B D leaves it running, inv remote-shell returns to it, and closing its last window ends it.
    Of a command that has ended, the last screens are shown, and its exit code is this one's.
    Example: inv remote-shell --gpus 1
    A command instead of a shell: inv remote-shell --gpus 1 -- python -m pdb src/train.py --task Digits_B
    """
    from remote.operations.shell import open_shell

    if not (options.background or options.stop or sys.stdin.isatty()):
        raise JobError(
            "remote-shell needs a terminal.",
            "To start it without opening it: inv remote-shell --background",
        )
    job, status = open_shell(server_of(target), options, tuple(arguments))
    if status:
        exit_as(job, status, shown=True)


@command(options=TensorboardOptions)
def remote_tensorboard(
    c: Context, target: str = "", options: TensorboardOptions = TensorboardOptions()
) -> None:
    """Open TensorBoard on the target's logs, through a tunnel.

    Example: inv remote-tensorboard
    """
    from remote.operations import services

    services.serve(server_of(target), services.TENSORBOARD, options)


@command(options=ServiceOptions)
def remote_ui(c: Context, target: str = "", options: ServiceOptions = ServiceOptions()) -> None:
    """Open mlflow ui on the target's own records, through a tunnel.

    Example: inv remote-ui
    """
    from remote.operations import services

    services.serve(server_of(target), services.UI, options)
