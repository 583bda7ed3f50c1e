"""What became of a job, as its folder and its worker's launcher tell."""

from __future__ import annotations

import time
from typing import Callable, Optional

from remote.agent import launchers
from remote.agent.job_folders.find_jobs import forget
from remote.agent.launchers import Launch
from remote.errors import JobError, ProtocolError
from remote.files import locked
from remote.job.paths import JobPaths
from remote.job.state import ENDED, FINISHED, LOST, QUEUED, UNKNOWN
from remote.job.status import JobStatus

#: How long a job of which no worker was started (yet) counts as queued, in seconds.
START_LIMIT = 60.0

LOOK = 0.3


def state_of(paths: JobPaths) -> JobStatus:
    """What became of a job. One whose worker is gone without an end is written down as lost."""
    status = read_status(paths)
    if status.state in ENDED:
        forget(paths)
        return status
    if status.state == UNKNOWN or _may_live(paths, status):
        return status
    with locked(paths.folder / "end.lock"):
        # The worker, or another look, may have written its end since.
        status = read_status(paths)
        if status.state in ENDED:
            return status
        launched = launch_of(paths, status)
        cause = launched.why_ended() if launched else "its worker is gone"
        # Few jobs get lost, and most calls of the agent start faster without.
        from remote.agent.job_folders.results import end_job

        return end_job(paths, _lost(status, cause))


def _lost(status: JobStatus, cause: str) -> JobStatus:
    return status.replace(state=LOST, ended=time.time(), cause=cause, reason="lost", waiting="")


def read_status(paths: JobPaths) -> JobStatus:
    """What status.json says."""
    try:
        return JobStatus.from_file(paths.status) or JobStatus(QUEUED)
    except ProtocolError as error:
        # A newer version's, perhaps: not to be replaced by what this one makes of it.
        return JobStatus(UNKNOWN, cause=error.message)


def _may_live(paths: JobPaths, status: JobStatus) -> bool:
    launched = launch_of(paths, status)
    if launched is None:
        return time.time() - paths.job.stat().st_mtime < START_LIMIT
    # Where that can't be told, it isn't lost.
    return launched.alive() is not False


def launch_of(paths: JobPaths, status: JobStatus) -> Optional[Launch]:
    """How the job's worker was started; None as long as it wasn't."""
    return launchers.read(paths, status.worker)


def wait_for(paths: JobPaths, before: str, say: Callable[[str], None]) -> None:
    """Wait until the job `before` has finished; raises JobError where it ended in another way."""
    if not before:
        return
    other = JobPaths(paths.root, before)
    say(f"waiting for {before} to finish")
    while True:
        if not other.job.is_file():
            raise JobError(f"{before}, which this job was to follow, was removed.")
        state = state_of(other).state
        if state == FINISHED:
            return
        if state in ENDED:
            raise JobError(f"{before}, which this job was to follow, {_told(state)}.")
        time.sleep(LOOK)


def _told(state: str) -> str:
    return {"lost": "was lost", "stopped": "was stopped"}.get(state, state)
