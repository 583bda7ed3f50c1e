"""`inv remote-stop`: a job's worker is asked to end it, and killed where it doesn't."""

from __future__ import annotations

import time
from pathlib import Path

from remote.agent.job_folders.find_jobs import find, job_of, live
from remote.agent.job_folders.liveness import launch_of, read_status, state_of
from remote.agent.job_folders.results import end_job
from remote.agent.launchers import Launch
from remote.agent.target_dir import root_of
from remote.errors import JobError
from remote.job.kinds import kind_of
from remote.job.messages.live_job import StopAnswer, StopRequest
from remote.job.paths import JobPaths
from remote.job.state import ENDED, STOPPED


def stop(request: StopRequest) -> StopAnswer:
    """Ask the worker to end its job; kill it where it doesn't in time.

    Without a name it is the one job that goes on; raises JobError where there are several.
    """
    root = root_of(request.key)
    paths = find(root, request.job) if request.job else _only(root)
    status = state_of(paths)
    if status.state in ENDED:
        return StopAnswer(id=paths.id, status=status, already=True)
    launched = launch_of(paths, status)
    if launched is None:
        raise JobError(f"{paths.id} is just starting.", "Try again in a few seconds.")
    launched.stop()
    deadline = time.monotonic() + request.patience
    while launched.alive() is not False and time.monotonic() < deadline:
        time.sleep(0.05)
    _see_to_the_end(paths, launched)
    return StopAnswer(id=paths.id, status=state_of(paths), already=False)


def _only(root: Path) -> JobPaths:
    going = [paths for paths in live(root) if state_of(paths).state not in ENDED]
    going = [paths for paths in going if not _serves(paths)] or going
    if len(going) == 1:
        return going[0]
    if not going:
        raise JobError("No job goes on here.", "inv remote-ps lists those that have ended.")
    names = ", ".join(paths.id for paths in going[-5:])
    raise JobError(f"{len(going)} jobs go on here: say which.", names)


def _serves(paths: JobPaths) -> bool:
    """Whether a job is a service: such a one is meant only where nothing else goes on."""
    job = job_of(paths)
    return job is not None and kind_of(job).serves


def _see_to_the_end(paths: JobPaths, launched: Launch) -> None:
    """Kill a worker that doesn't stop, and write the end of one that didn't; raises JobError."""
    alive = launched.alive()
    if alive is None:
        raise JobError(
            f"{paths.id} was asked to end; whether it did can't be told now.",
            "Look again: inv remote-ps",
        )
    if alive:
        launched.kill()
    status = read_status(paths)
    if alive or status.state not in ENDED:
        cause = "killed" if alive else "stopped"
        ended = status.replace(state=STOPPED, ended=time.time(), cause=cause, reason="stopped")
        end_job(paths, ended.replace(waiting=""))
