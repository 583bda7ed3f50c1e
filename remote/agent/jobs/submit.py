"""Accept a job: freeze its code, write down what was asked, start its worker."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from remote.agent import environments, launchers, processes
from remote.agent import secrets as secret_values
from remote.agent.job_folders.find_jobs import find, forget
from remote.agent.job_folders.liveness import state_of
from remote.agent.jobs.snapshot import freezing
from remote.agent.launchers import Launch
from remote.agent.target_dir import machine, root_of
from remote.errors import JobError
from remote.files import write_atomic
from remote.job.kinds import kind_of
from remote.job.messages.submit import SubmitAnswer, SubmitRequest
from remote.job.paths import STATE, JobPaths, jobs_folder, slug
from remote.job.spec import Job, JobSpec
from remote.job.state import ENDED, FINISHED, QUEUED, REFUSED
from remote.job.status import JobStatus

#: How the folder for code from another target begins, below the toolkit's own.
INCOMING = "incoming-"


def submit(request: SubmitRequest) -> SubmitAnswer:
    """Start a job, or say what has to be brought first; raises JobError."""
    root = root_of(request.key)
    if not kind_of(request.job).serves:
        return _submit(root, request)
    from remote.agent import services

    with services.one_at_a_time(root):
        running = services.running(root, request.job.service)
        if running:
            return SubmitAnswer(id=running.id, environment_ready=True)
        return _submit(root, request)


def _submit(root: Path, request: SubmitRequest) -> SubmitAnswer:
    spec = request.job.replace(after=_predecessor(root, request.job.after))
    source = _source(root, spec)
    _check_source(source, spec)
    env = environments.of(root, source, spec.python, spec.extras)
    if env.missing_programs():
        return SubmitAnswer(need=env.missing_programs()[0], platform=machine())
    if request.offline and not request.proxy and not env.is_ready():
        return SubmitAnswer(need="proxy")
    paths = create(root, spec.name)
    try:
        write_job(paths, spec)
        _write_extras(paths, request)
        # The worker starts while the code is frozen, and waits for that.
        with freezing(paths, source):
            launched = _launch(paths, request)
        _forget_incoming(source)
        _refuse(_wait_for_worker(paths, launched))
    except BaseException:
        _remove(paths.folder)
        forget(paths)
        raise
    return SubmitAnswer(id=paths.id, environment_ready=env.is_ready())


def _write_extras(paths: JobPaths, request: SubmitRequest) -> None:
    if request.diff:
        write_atomic(paths.diff, request.diff.encode("utf-8", "surrogateescape"), mode=0o600)
    if request.proxy:
        write_atomic(paths.proxy, request.proxy.encode("ascii"), mode=0o600)


def _source(root: Path, spec: JobSpec) -> Path:
    """The code that the job is to run."""
    if spec.again:
        return JobPaths(root, spec.again).code
    if spec.incoming:
        return root / STATE / (INCOMING + spec.incoming)
    return root


def _forget_incoming(source: Path) -> None:
    if source.name.startswith(INCOMING):
        _remove(source)


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(str(folder), ignore_errors=True)


def _check_source(code: Path, spec: JobSpec) -> None:
    if not code.is_dir():
        raise JobError("That job's code is not on this target any more.")
    if kind_of(spec).source_is_path and not (code / spec.source).exists():
        raise JobError(
            f"{spec.source} was not pushed to the server.", "Does .rsyncignore exclude it?"
        )


def _predecessor(root: Path, name: str) -> str:
    """The whole id of the job that is to end well before this one begins."""
    if not name:
        return ""
    paths = find(root, name)
    state = state_of(paths).state
    if state in ENDED and state != FINISHED:
        raise JobError(f"{paths.id}, which this job was to follow, has ended: {state}.")
    return paths.id


def _refuse(status: JobStatus) -> None:
    """A worker that could not even begin has its reason told to who submits."""
    if status.reason == REFUSED:
        message, _, hint = status.cause.partition("\n")
        raise JobError(message, hint)


def create(root: Path, name: str) -> JobPaths:
    """A new, empty job folder; its id is the time, the name, and four letters of chance."""
    jobs_folder(root).mkdir(parents=True, exist_ok=True)
    while True:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        paths = JobPaths(root, f"{stamp}-{slug(name)}-{os.urandom(2).hex()}")
        try:
            paths.folder.mkdir()
            paths.live.parent.mkdir(exist_ok=True)
            paths.live.touch()
            return paths
        except FileExistsError:
            continue


def write_job(paths: JobPaths, spec: JobSpec) -> None:
    """Write down, once, what was asked. Readable by the owner alone: parameters may be private."""
    job = Job(
        **vars(spec),
        id=paths.id,
        root=str(paths.root),
        host=os.uname().nodename,
        # What they hold stays where it is.
        secrets=tuple(sorted(secret_values.read(paths.root))),
        submitted=time.time(),
        submitter=processes.identity(os.getpid()),
        mlflow_run=os.urandom(16).hex(),
    )
    job.to_file(paths.job, mode=0o600)


def _launch(paths: JobPaths, request: SubmitRequest) -> Launch:
    agent = [sys.executable, "-IS", os.path.abspath(sys.argv[0])]
    worker = [*agent, "work", request.key, paths.id]
    return launchers.start(
        paths, request.launcher or launchers.DEFAULT, worker, request.launcher_setting
    )


def _wait_for_worker(paths: JobPaths, launched: Launch) -> JobStatus:
    """The worker's first word; none yet where a scheduler decides when it begins."""
    if launched.start_limit is None:
        return JobStatus(QUEUED)
    deadline = time.monotonic() + launched.start_limit
    while True:
        # Asked before the status is read: a worker that ends has written it.
        gone = launched.alive() is False or time.monotonic() > deadline
        status = JobStatus.from_file(paths.status)
        if status is not None:
            return status
        if gone:
            raise JobError(
                f"{launched.launcher} started the job, but its worker never wrote its status.",
                launched.start_hint,
            )
        time.sleep(0.01)
