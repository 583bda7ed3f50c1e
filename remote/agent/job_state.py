"""What became of a job, and its end where no worker sees to it."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import time
from pathlib import Path
from typing import Optional

from remote.agent import processes, reserve
from remote.agent.job_folders import forget, job_of, read_status
from remote.errors import RemoteError
from remote.files import link_or_copy, locked, name_new, write_atomic
from remote.job.paths import JobPaths
from remote.job.spec import Job
from remote.job.status import ENDED, FAILED, FINISHED, LOST, QUEUED, STOPPED, UNKNOWN, JobStatus

#: How long a job of which no worker was started (yet) counts as queued, in seconds.
START_LIMIT = 60.0

#: The same where it is submitted on another machine, on which its code may take so long to be there.
START_ELSEWHERE = 600.0

#: How long the code of a job without a worker may take to end before it is killed, in seconds.
PATIENCE = 3.0

#: Where executed notebooks go, and what their names tell of the job's end.
NOTEBOOKS = "data/results/notebooks"
SUFFIX = {FINISHED: "", FAILED: ".failed", STOPPED: ".stopped", LOST: ".lost"}

#: Where the job's own account lies among the artifacts of its run, and how much of the log.
ACCOUNT = "remote"
LOG_LIMIT = 32 << 20


def state_of(paths: JobPaths) -> JobStatus:
    """What became of a job. One whose worker is gone without an end is written down as lost."""
    status = read_status(paths)
    if status.state == UNKNOWN or (status.state in ENDED and not paths.live.exists()):
        return status
    # Of most jobs the end is written down, and a list of them starts faster without.
    from remote.agent import launchers

    launched = launchers.read(paths, status.worker)
    if status.state in ENDED:
        # Its worker is about to forget it, or had no room for all that an end takes.
        if launched is None or launched.alive() is False:
            with contextlib.suppress(OSError), locked(paths.folder / "end.lock"):
                status = _complete(paths, status)
        return status
    alive = launched.alive() if launched else _is_starting(paths)
    if launched is None and alive is None:
        return JobStatus(UNKNOWN, cause="its folder is there no more")
    # Where that can't be told, it isn't lost.
    if launched and alive is None:
        status = status.replace(cause=launched.doubt)
    if alive is not False:
        waiting = launched.waiting() if launched else ""
        return status.replace(state=QUEUED, waiting=waiting) if waiting else status
    return end_gone(paths)


def _is_starting(paths: JobPaths) -> Optional[bool]:
    """Whether somebody may be about to start a job's worker, once its code is there, or that of all
    jobs of an array. None where the job is gone."""
    try:
        age = time.time() - os.stat(str(paths.job)).st_mtime
    except (FileNotFoundError, NotADirectoryError):
        return None
    job = job_of(paths)
    if age < START_LIMIT or job is None or job.submitter is None:
        return age < START_LIMIT
    # Of several login nodes, each knows its own processes alone.
    if job.host != os.uname().nodename:
        return age < START_ELSEWHERE
    return processes.alive(job.submitter) is not False


def end_gone(paths: JobPaths, *, state: str = "", cause: str = "") -> JobStatus:
    """The end of a job whose worker is gone, which one alone writes down: `state`, or else stopped where
    that was asked, and lost. Its status comes back, as it is where that was done or can't be read.
    """
    from remote.agent import launchers

    with contextlib.ExitStack() as stack:
        # Without room, or the right to write, nobody else writes its end either.
        with contextlib.suppress(OSError):
            stack.enter_context(locked(paths.folder / "end.lock"))
        # The worker, or another look, may have written its end since.
        status = read_status(paths)
        if status.state in ENDED or status.state == UNKNOWN:
            return status
        if not state and paths.stop.exists():
            state, cause = STOPPED, "stopped"
        if not state:
            launched = launchers.read(paths, status.worker)
            state, cause = LOST, "its worker is gone"
            if launched is not None:
                cause = launched.row.why_ended(launched.handle)
        return end_job(paths, status, state=state, cause=cause)


def end_job(paths: JobPaths, status: JobStatus, *, state: str, cause: str) -> JobStatus:
    """The end of a job whose worker can't see to it any more.

    What its code left running is ended first: as long as that goes on, the job does. Its results
    are kept, its runs ended, and its status is written down and comes back.
    """
    left = functools.partial(processes.of_job, paths.id, paths.log, status.code)
    if left():
        stubborn = processes.end(left, patience=PATIENCE)
        if stubborn:
            numbers = ", ".join(map(str, stubborn))
            return status.replace(cause=f"{cause}, and its code can't be ended: process {numbers}")
        cause += "; what its code left running was ended"
    lost = status.replace(state=state, ended=time.time(), cause=cause, reason=state, waiting="")
    return _complete(paths, reserve.noted(paths) or lost)


def _complete(paths: JobPaths, status: JobStatus) -> JobStatus:
    """Keep what an ended job leaves, end its runs and write its status down, as far as its disk lets
    us: the next look does the rest. The status comes back, with what stands in the way."""
    from remote.agent.raw_data import ReadOnly

    reserve.free(paths)
    obstacle = ""
    try:
        job = Job.from_file(paths.job)
        if job:
            try:
                status = keep_notebook(paths, job, status)
            finally:
                list_unpulled(paths, job)
                close_records(paths, job, status)
    except (OSError, RemoteError) as error:
        obstacle = getattr(error, "message", str(error))
    try:
        reserve.publish(paths, status)
        if not obstacle:
            forget(paths)
    except OSError as error:
        obstacle = obstacle or str(error)
    with contextlib.suppress(OSError, ValueError):
        ReadOnly(paths.root).give_back()
    if obstacle:
        cause = (
            f"{status.cause or 'it has ended'}; its end is not completely recorded yet: {obstacle}"
        )
        return status.replace(cause=cause)
    return status


def keep_notebook(paths: JobPaths, job: Job, status: JobStatus) -> JobStatus:
    """Keep the notebook of a job that has ended, read-only; `result` of the status says where.

    A worker that was killed may have left half a notebook: that one stays in the job's folder.
    """
    import shutil

    from remote.job.kinds import kind_of

    shutil.rmtree(str(paths.jupyter), ignore_errors=True)
    clear_service(paths)
    try:
        json.loads(paths.notebook.read_bytes())
    except (OSError, ValueError, RecursionError, MemoryError):
        return status
    if status.result or not kind_of(job).keeps_notebook:
        return status
    stamp = "-".join(paths.id.split("-")[:2])
    folder, stem = os.path.split(job.output)
    name = os.path.join(folder, f"{stamp}_{stem}{SUFFIX[status.state]}.ipynb")
    kept = name_new(paths.notebook, paths.root / NOTEBOOKS / name, mode=0o444)
    return status.replace(result=os.path.join(NOTEBOOKS, folder, kept.name))


def list_unpulled(paths: JobPaths, job: Job) -> None:
    """Write down what a job leaves that no pull brings; on a full disk, whoever asks looks again."""
    from remote.agent import unpulled

    with contextlib.suppress(OSError):
        unpulled.end(paths, job)


def clear_service(paths: JobPaths) -> None:
    """Remove the private folder in /tmp of a service that has ended, with where it was reached, and
    nothing else."""
    import shutil

    from remote.job.status import PRIVATE, Serving

    with contextlib.suppress(FileNotFoundError):
        paths.address.unlink()
    serving = Serving.from_file(paths.serving)
    if serving and re.match(PRIVATE + r"\w+\Z", serving.folder):
        shutil.rmtree(serving.folder, ignore_errors=True)
        paths.serving.unlink()


def _artifacts(paths: JobPaths, job: Job, status: JobStatus) -> Optional[Path]:
    from remote.agent.tracking import job_run, run_rows

    return run_rows.artifact_dir(job_run.store_of_job(paths), job_run.run_of(job, status))


def close_records(paths: JobPaths, job: Job, status: JobStatus) -> None:
    """End the job's MLflow runs, with what was asked, what became of it and the log beside its own.

    So a pull brings them, and the job's folder may go. Where a disk has no room for the files, the
    runs end all the same.
    """
    from remote.agent.tracking import job_run

    try:
        _keep_account(paths, status, _artifacts(paths, job, status))
    finally:
        job_run.end_runs(paths, job, status)


def _keep_account(paths: JobPaths, status: JobStatus, artifacts: Optional[Path]) -> None:
    if artifacts is not None:
        folder = artifacts / ACCOUNT
        folder.mkdir(parents=True, exist_ok=True)
        status.to_file(folder / "status.json")
        # For the owner alone here too: variables and parameters may be private.
        _share(paths.job, folder / "job.json")
        _share(paths.diff, folder / paths.diff.name)
        if paths.log.is_file() and paths.log.stat().st_size > LOG_LIMIT:
            write_atomic(folder / "log.txt", _end_of(paths.log))
        else:
            _share(paths.log, folder / "log.txt")
        if status.result:
            _share(paths.notebook, artifacts / Path(status.result).name)
            # Of the job's own artifacts, one may stand where these go.
            with contextlib.suppress(OSError):
                _share(paths.page, artifacts / Path(status.result).with_suffix(".html").name)
                _share_figures(paths.figures, artifacts / paths.figures.name)


def _share(file: Path, artifact: Path) -> None:
    """Have a job's file, if it is there, be an artifact too: one more name takes no room."""
    with contextlib.suppress(FileNotFoundError):
        artifact.unlink()
    if file.is_file():
        link_or_copy(str(file), str(artifact))


def _share_figures(folder: Path, artifacts: Path) -> None:
    for figure in sorted(folder.glob("cell-*")):
        artifacts.mkdir(exist_ok=True)
        _share(figure, artifacts / figure.name)


def _end_of(log: Path) -> bytes:
    """The end of a log that is very long."""
    with open(str(log), "rb") as file:
        size = file.seek(0, 2)
        file.seek(size - LOG_LIMIT)
        return (
            f"[remote] {size - LOG_LIMIT} bytes before this were left out\n".encode() + file.read()
        )
