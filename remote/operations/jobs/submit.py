"""A job: what is asked of it, with what git says of its code; handed to the agent, or run here. All is
checked before anything is sent."""

from __future__ import annotations

import contextlib
import platform
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from remote.config import Project, declared
from remote.errors import JobError, TransferError
from remote.files import login_name
from remote.job.fields import Misfit
from remote.job.kinds import kind_of
from remote.job.messages.jobs import PUSH, SubmitAnswer
from remote.job.paths import CACHE
from remote.job.spec import Git, JobSpec
from remote.job.status import LOST, JobStatus
from remote.operations.git import git_state, uncommitted
from remote.operations.jobs.run_options import RunOptions
from remote.operations.jobs.submission import Submission
from remote.operations.jobs.submitted import Submitted, pushed_code, remember, text_hash
from remote.operations.sync import line, push_locked, say_problems
from remote.operations.transfers.project_outputs import declared_outputs
from remote.operations.transfers.push_guard import push_lock
from remote.options import options_of
from remote.output import plural, say
from remote.programs.parameter import Asked, below
from remote.programs.program import Program
from remote.rpc.client import Agent
from remote.rpc.wire import LocalWire
from remote.session import TargetSession
from remote.target_settings import TargetSettings
from remote.transport import process
from remote.transport.rsync_problems import Problem


def describe(
    project: Project,
    program: Program,
    parameters: Mapping[str, Any],
    *,
    output: str = "",
    arguments: Sequence[str] = (),
    options: RunOptions = RunOptions(),
) -> JobSpec:
    """What is asked of a job that runs this program with these parameters; raises RemoteError, also
    for what a server would refuse of it.

    `output` names an executed notebook; without it, it is called like the notebook.
    """
    spec = program.job_spec(project.root, Asked(parameters, arguments, output))
    name = declared(project.root, "name") or project.root.name
    outputs = declared_outputs(project.root)
    described = spec.replace(
        **{
            **vars(options),
            **options.leased,
            "name": options.name or spec.name,
            "cwd": working_folder(project.root, spec, options.cwd),
            "record": spec.record and options.record,
        },
        experiment=project.settings.get("MLFLOW_EXPERIMENT_NAME", "") or name,
        python=declared(project.root, "requires-python"),
        git=git_state(project.root, outputs),
        outputs=outputs,
        user=login_name(),
        project=name,
        leases=project.settings.get("REMOTE_LEASES", ""),
    )
    _refuse_unfit(described)
    return described


def _refuse_unfit(job: JobSpec) -> None:
    """Raises JobError for what a server would refuse, by the flag that asks for it."""
    try:
        JobSpec.read(job.to_json())
    except Misfit as misfit:
        field, *inner = (part.lstrip(".") for part in reversed(misfit.path))
        row = options_of(RunOptions).get(field)
        told = "".join((row.flag if row else field, *inner))
        raise JobError(f"{told}: {misfit.reason}.") from None


def with_settings(job: JobSpec, settings: TargetSettings) -> JobSpec:
    """The same, with what a target's settings say where nothing was typed."""
    return with_environment(job, settings).replace(
        gpus=settings.gpus if job.gpus is None else job.gpus,
        gpu_exclude=(*settings.gpus_exclude, *job.gpu_exclude),
        cpu_slots=settings.cpus or 0,
        # What all targets have is left out where it can't be had; what was typed is refused there.
        extras=tuple(
            dict.fromkeys((*(settings.extras if settings.has_extras else ()), *job.extras))
        ),
        # Of two words that say the same, sbatch takes the last.
        sbatch=(*settings.words_for_sbatch, *job.sbatch),
    )


def with_environment(job: JobSpec, settings: TargetSettings) -> JobSpec:
    """The same, to be run by the environment that a target has for it, after its setup lines."""
    return job.replace(
        environment=settings.environment,
        environment_source=settings.image or settings.python,
        torch_backend=settings.torch_backend,
        setup=settings.setup,
    )


def working_folder(root: Path, job: JobSpec, typed: str) -> str:
    """The folder that `--cwd` names, below the root; empty for that itself. Raises JobError."""
    folder = root / typed
    if typed == "notebook" and kind_of(job).source_is_path:
        source = root / job.source
        folder = source if source.is_dir() else source.parent
    name = below(root, folder).as_posix()
    if not folder.is_dir():
        raise JobError(
            f"--cwd: there is no folder {typed!r} in the project.",
            "It takes `notebook`, the folder of the notebook or script, or a folder of the project.",
        )
    return "" if name == "." else name


#: How often others may push between our push and the job's copy of it.
TRIES = 20


def push_and_submit(server: TargetSession, job: JobSpec) -> SubmitAnswer:
    """Push, and start the job on exactly what was pushed; raises RemoteError.

    Without `environment_ready` in the answer, the job's environment is made first.
    """
    job = with_settings(job, server.settings)
    server.connect()
    command = [server.key, job.replace(git=Git()).to_json()]
    with contextlib.ExitStack() as way:
        submission = Submission(server, command, way)
        with push_lock(server.project):
            answer = push_until_accepted(submission, job)
        return submission.attend(answer)


def push_and_submit_locked(server: TargetSession, job: JobSpec) -> SubmitAnswer:
    """The same where the caller holds the push lock, and pushes to other targets as well."""
    job = with_settings(job, server.settings)
    command = [server.key, job.replace(git=Git()).to_json()]
    with contextlib.ExitStack() as way:
        submission = Submission(server, command, way)
        return submission.attend(push_until_accepted(submission, job, is_usual=False))


def _refuse_partial(problems: Sequence[Problem]) -> None:
    """Raises TransferError where a push has left something: a job would run other code than is here."""
    if problems:
        say_problems(problems, "pushed")
        raise TransferError(
            f"{plural(len(problems), 'path')} could not be pushed, so nothing was started.",
            "Fix that, then repeat the command.",
        )


def push_until_accepted(
    submission: Submission, job: JobSpec, more: Sequence[JobSpec] = (), *, is_usual: bool = True
) -> SubmitAnswer:
    """Push, and ask for the job, and `more` on the same code, while the caller holds the push lock.

    Where somebody else pushes between our push and the job's copy of it, all is done again.
    """
    server = submission.server
    for number in range(TRIES):
        pushed = push_locked(server, is_usual=is_usual)
        say(line(server, pushed))
        _refuse_partial(pushed.files.problems)
        if number:
            git = git_state(server.project.root, job.outputs)
            job, more = job.replace(git=git), [each.replace(git=git) for each in more]
        diff = uncommitted(server.project.root, job.outputs) if job.git.dirty else ""
        with ThreadPoolExecutor(1) as pool:
            root, held = server.project.root, server.facts.undecided or ()
            left = (*server.settings.links, *held)
            code = pool.submit(pushed_code, root, job.outputs, left)
            answer = submission.ask(job, diff, push=pushed.id, more=more)
        # Without it, a rerun elsewhere asks for --theirs.
        with contextlib.suppress(OSError, TransferError):
            for job_id, asked in zip(answer.ids or (answer.id,), (job, *more)):
                if job_id:
                    kept = Submitted(asked, code.result(), text_hash(diff))
                    remember(server.project.state, job_id, kept)
        if answer.need != PUSH:
            return answer
        say(
            f"{answer.pushed_by or 'Somebody else'} pushed to {server.target} meanwhile: pushing again."
        )
    raise JobError(
        f"{server.target} is pushed to all the time, so no job could be started.",
        "Try again later, or take a target of your own: --target",
    )


def run_here(project: Project, job: JobSpec) -> tuple[str, int]:
    """Run the job in this terminal, to its end, the way a target would; its state and exit code."""
    # Only here: jobs on a target start faster without.
    from remote.agent.jobs.accept import create, write_job

    paths = create(project.root, job.name)
    write_job(paths, job.replace(target=platform.node(), interpreter=sys.executable))
    agent = Agent(LocalWire())
    file = Path.home() / CACHE / agent.name
    if not file.is_file():
        agent.bring()
    worker = process.start([sys.executable, str(file), "work-here", str(project.root), paths.id])
    while True:
        try:
            code = worker.wait()
            break
        except KeyboardInterrupt:
            # It reaches the worker too, which ends the job: that is waited for.
            continue
    status = JobStatus.from_file(paths.status)
    # A worker that was killed before its first word has written none.
    return status.state if status else LOST, code
