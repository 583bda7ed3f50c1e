"""The folders of a target's jobs: found, read, and brought to their end where no worker does it.

Most calls of the agent need the first two, and start faster without what the third imports.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import time
from pathlib import Path
from typing import List, Optional

from remote.agent import launchers, processes, reserve
from remote.errors import JobError, ProtocolError, RemoteError
from remote.files import is_absent, link_or_copy, locked, name_new, write_atomic
from remote.job.paths import ID_PATTERN, JobPaths, jobs_folder, live_folder
from remote.job.spec import Job
from remote.job.status import ENDED, FAILED, FINISHED, LOST, QUEUED, STOPPED, UNKNOWN, JobStatus

#: Letters of an id that tell when the job was submitted: 20261231-235959.
STAMP = 15
STAMP_FORMAT = "%Y%m%d-%H%M%S"
STAMP_PATTERN = re.compile(r"\d{8}-\d{6}-")

#: How long a job of which no worker was started (yet) counts as queued, in seconds.
START_LIMIT = 60.0

#: How long the code of a job without a worker may take to end before it is killed, in seconds.
PATIENCE = 3.0

#: Where executed notebooks go, and what their names tell of the job's end.
NOTEBOOKS = "data/results/notebooks"
SUFFIX = {FINISHED: "", FAILED: ".failed", STOPPED: ".stopped", LOST: ".lost"}

#: Where the job's own account lies among the artifacts of its run, and how much of the log.
ACCOUNT = "remote"
LOG_LIMIT = 32 << 20


def every(root: Path) -> List[JobPaths]:
    """The folders of all jobs, the oldest first."""
    return _in_order(root, jobs_folder(root))


def live(root: Path) -> List[JobPaths]:
    """The jobs that have not ended, as far as is known; the oldest first."""
    return _in_order(root, live_folder(root))


def _in_order(root: Path, folder: Path) -> List[JobPaths]:
    """The jobs that a folder names, in the order of their submission.

    An id tells that, and no clock sets it back; within a second, job.json does, which is written
    once.
    """
    keyed = []
    for name in () if is_absent(folder) else os.listdir(str(folder)):
        if ID_PATTERN.match(name):
            paths, written = JobPaths(root, name), 0
            try:
                written = os.stat(str(paths.job)).st_mtime_ns
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError:
                # Its status says what is wrong with it.
                pass
            keyed.append(((name[:STAMP], written, name), paths))
    return [paths for _, paths in sorted(keyed, key=lambda pair: pair[0])]


def find(root: Path, part: str) -> JobPaths:
    """The job whose id is, or alone contains, `part`; `last` is the newest; raises JobError."""
    jobs = every(root)
    if not jobs:
        raise JobError("There is no job on this target yet.", "Start one: inv remote-run NOTEBOOK")
    if part in ("", "last"):
        return jobs[-1]
    exact = [paths for paths in jobs if paths.id == part]
    matching = exact or [paths for paths in jobs if part in paths.id]
    if len(matching) == 1:
        return matching[0]
    if not matching:
        raise JobError(f"There is no job {part!r} on this target.", "inv remote-ps lists them.")
    names = ", ".join(paths.id for paths in matching[-5:])
    raise JobError(f"{part!r} is in the ids of {len(matching)} jobs.", f"Say more of it: {names}")


def forget(paths: JobPaths) -> None:
    """Take a job from the list of those that have not ended; where that can't be written, whoever
    looks next does."""
    with contextlib.suppress(OSError):
        paths.live.unlink()


def job_of(paths: JobPaths) -> Optional[Job]:
    """What was asked of a job; None where its folder is half made, or half removed."""
    try:
        return Job.from_file(paths.job)
    except ProtocolError:
        return None


def read_status(paths: JobPaths) -> JobStatus:
    """What status.json says."""
    try:
        return JobStatus.from_file(paths.status) or JobStatus(QUEUED)
    except ProtocolError as error:
        # A newer version's, perhaps: not to be replaced by what this one makes of it.
        return JobStatus(UNKNOWN, cause=error.message)


def state_of(paths: JobPaths) -> JobStatus:
    """What became of a job. One whose worker is gone without an end is written down as lost."""
    status = read_status(paths)
    if status.state == UNKNOWN or (status.state in ENDED and not paths.live.exists()):
        return status
    launched = launchers.read(paths, status.worker)
    if status.state in ENDED:
        # Its worker is about to forget it, or had no room for all that an end takes.
        if launched is None or launched.alive() is False:
            with contextlib.suppress(OSError), locked(paths.folder / "end.lock"):
                status = _complete(paths, status)
        return status
    if launched is None:
        may_live = time.time() - paths.job.stat().st_mtime < START_LIMIT
    else:
        # Where that can't be told, it isn't lost.
        may_live = launched.alive() is not False
    if may_live:
        return status
    with contextlib.ExitStack() as stack:
        # Without room, or the right to write, nobody else writes its end either.
        with contextlib.suppress(OSError):
            stack.enter_context(locked(paths.folder / "end.lock"))
        # The worker, or another look, may have written its end since.
        status = read_status(paths)
        if status.state in ENDED:
            return status
        launched = launchers.read(paths, status.worker)
        cause = "its worker is gone"
        if launched is not None:
            cause = launched.row.why_ended(launched.handle)
        return end_job(paths, status, state=LOST, cause=cause)


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
    job, obstacle = job_of(paths), ""
    try:
        if job:
            status = keep_notebook(paths, job, status)
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
        cause = f"{status.cause or 'it has ended'}; its end is not all written down yet: {obstacle}"
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
    except (OSError, ValueError):
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
    """Remove the private folder in /tmp of a service that has ended, and nothing else."""
    import shutil

    from remote.job.status import PRIVATE, Serving

    serving = Serving.from_file(paths.serving)
    if serving and re.match(PRIVATE + r"\w+\Z", serving.folder):
        shutil.rmtree(serving.folder, ignore_errors=True)
        paths.serving.unlink()


def _artifacts(paths: JobPaths, job: Job, status: JobStatus) -> Optional[Path]:
    from remote.agent.tracking import job_run, run_rows

    return run_rows.artifact_dir(job_run.store_of_job(paths), job_run.run_of(job, status))


def close_records(paths: JobPaths, job: Job, status: JobStatus) -> None:
    """End the job's MLflow runs, with what was asked, what became of it and the log beside its own.

    So a pull brings them, and the job's folder may go.
    """
    from remote.agent.tracking import job_run

    artifacts = _artifacts(paths, job, status)
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
    job_run.end_runs(paths, job, status)


def _share(file: Path, artifact: Path) -> None:
    """Have a job's file, if it is there, be an artifact too: one more name takes no room."""
    with contextlib.suppress(FileNotFoundError):
        artifact.unlink()
    if file.is_file():
        link_or_copy(str(file), str(artifact))


def _end_of(log: Path) -> bytes:
    """The end of a log that is very long."""
    with open(str(log), "rb") as file:
        size = file.seek(0, 2)
        file.seek(size - LOG_LIMIT)
        return (
            f"[remote] {size - LOG_LIMIT} bytes before this were left out\n".encode() + file.read()
        )
