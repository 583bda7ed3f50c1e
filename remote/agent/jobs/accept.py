"""The folder of a job that is about to start, and the request that it belongs to.

A request that was answered by silence is asked again with the same id, and finds its job by that.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Iterator, Optional, Tuple

from remote.agent import processes
from remote.agent.job_folders import STAMP, STAMP_FORMAT, STAMP_PATTERN, forget, job_of
from remote.agent.job_state import START_LIMIT
from remote.agent.target_dir import read_secrets
from remote.files import is_absent, locked
from remote.job.paths import ID_PATTERN, STATE, JobPaths, jobs_folder, slug
from remote.job.spec import Job, JobSpec

#: How many letters of its request a job's id ends with.
SUFFIX = 4

#: How long an id's time lasts, and a little more.
SECOND = 1.1

#: Seconds between two looks at a job that another call is about to start.
LOOK = 0.02


def accept(root: Path, spec: JobSpec, request: str) -> Optional[JobPaths]:
    """Make the folder of a job, and write down what was asked; None where the same request did."""
    with locked(root / STATE / "submit.lock", "another submission"):
        if _job_of_request(root, request):
            return None
        paths = create(root, spec.name, request[:SUFFIX])
        with cleared(paths):
            write_job(paths, spec, request)
        return paths


def accepted(root: Path, spec: JobSpec, request: str) -> Tuple[JobPaths, bool]:
    """The folder of the request's job, and whether it is a new one; the same request may come twice at
    once."""
    while True:
        paths = accept(root, spec, request)
        if paths:
            return paths, True
        earlier = earlier_job(root, request)
        if earlier:
            return earlier, False


@contextlib.contextmanager
def cleared(paths: JobPaths) -> Iterator[None]:
    """Leave nothing of a job that can't be started."""
    try:
        yield
    except BaseException:
        remove(paths)
        raise


def remove(paths: JobPaths) -> None:
    """Remove the folder of a job that never began."""
    clear(paths.folder)
    forget(paths)


def clear(folder: Path) -> None:
    """Remove a folder, as far as it is there."""
    # Only here: each start of a job is faster without.
    import shutil

    shutil.rmtree(str(folder), ignore_errors=True)


def earlier_job(root: Path, request: str) -> Optional[JobPaths]:
    """The job that the same request has started before; None where it has not, or broke off."""
    while True:
        job = _job_of_request(root, request)
        paths = JobPaths(root, job.id) if job else None
        if job is None or paths is None or _was_started(paths):
            return paths
        is_here = job.host == os.uname().nodename
        if processes.alive(job.submitter) is False if is_here else _age(paths) > START_LIMIT:
            # The agent that was about to start it is gone, and its worker ends without the code.
            remove(paths)
            _pass_over(paths)
            return None
        time.sleep(LOOK)


def _was_started(paths: JobPaths) -> bool:
    """Whether a job has a worker, and its code. The code alone is there first of an array's jobs."""
    is_known = not (is_absent(paths.launch) and is_absent(paths.status))
    return is_known and paths.code.is_dir()


def _pass_over(paths: JobPaths) -> None:
    """Wait until a new job gets another id: a worker of this one that still waits for its code must
    not find that of the next in its folder, and tmux has its session."""
    end = time.monotonic() + SECOND
    while _next_stamp(paths.folder.parent) == paths.id[:STAMP] and time.monotonic() < end:
        time.sleep(LOOK)


def _age(paths: JobPaths) -> float:
    """Seconds since the job was written down."""
    return time.time() - os.stat(str(paths.job)).st_mtime


def _job_of_request(root: Path, request: str) -> Optional[Job]:
    if not request or not jobs_folder(root).is_dir():
        return None
    names = os.listdir(str(jobs_folder(root)))
    suffix = f"-{request[:SUFFIX]}"
    named = [name for name in names if name.endswith(suffix) and ID_PATTERN.match(name)]
    jobs = [job_of(JobPaths(root, name)) for name in named]
    return next((job for job in jobs if job and job.request == request), None)


def create(root: Path, name: str, letters: str = "") -> JobPaths:
    """A new, empty job folder; its id is the time, the name, and four letters of chance.

    With these `letters`, which are a request's, it is found by that without reading all jobs.
    """
    jobs_folder(root).mkdir(parents=True, exist_ok=True)
    while True:
        stamp = _next_stamp(jobs_folder(root))
        paths = JobPaths(root, f"{stamp}-{slug(name)}-{letters or os.urandom(2).hex()}")
        try:
            paths.folder.mkdir()
            with cleared(paths):
                paths.live.parent.mkdir(exist_ok=True)
                paths.live.touch()
            return paths
        except FileExistsError:
            # Of the same second, name and letters: the next second is another.
            time.sleep(0.02)


def _next_stamp(folder: Path) -> str:
    """The time here; where the clock was set back, by a person or at the end of summer, the second
    after the newest job's, so that the names of jobs tell their order."""
    now = time.strftime(STAMP_FORMAT)
    stamps = (name[:STAMP] for name in os.listdir(str(folder)) if STAMP_PATTERN.match(name))
    newest = max(stamps, default="")
    if newest <= now:
        return now
    # Seldom needed. Counted in a calendar without summer, where each second is there once.
    from datetime import datetime, timedelta

    try:
        return f"{datetime.strptime(newest, STAMP_FORMAT) + timedelta(seconds=1):{STAMP_FORMAT}}"
    except (ValueError, OverflowError):
        return now


def write_job(paths: JobPaths, spec: JobSpec, request: str = "") -> None:
    """Write down, once, what was asked. Readable by the owner alone: parameters may be private."""
    job = Job(
        **vars(spec),
        id=paths.id,
        root=str(paths.root),
        host=os.uname().nodename,
        # What they hold stays where it is.
        secrets=tuple(sorted(read_secrets(paths.root))),
        submitted=time.time(),
        submitter=processes.identity(os.getpid()),
        mlflow_run=os.urandom(16).hex(),
        request=request,
    )
    job.to_file(paths.job, mode=0o600)
