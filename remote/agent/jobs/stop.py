"""`inv remote-stop`: a job's worker is asked to end it, and killed where it doesn't."""

from __future__ import annotations

import time
from pathlib import Path

from remote.agent import launchers
from remote.agent.job_folders import end_job, find, job_of, live, read_status, state_of
from remote.agent.target_dir import root_of
from remote.errors import JobError
from remote.job.kinds import kind_of
from remote.job.messages.jobs import StopAnswer, StopRequest
from remote.job.paths import JobPaths
from remote.job.status import ENDED, STOPPED


def stop(request: StopRequest) -> StopAnswer:
    """Ask the worker to end its job; kill it where it doesn't in time, and write the job's end
    where it didn't.

    Without a name it is the one job that goes on; raises JobError where there are several.
    """
    root = root_of(request.key)
    paths = find(root, request.job) if request.job else _only(root)
    status = state_of(paths)
    if status.state in ENDED:
        return StopAnswer(id=paths.id, status=status, already=True)
    launched = launchers.read(paths, status.worker)
    if launched is None:
        raise JobError(f"{paths.id} is just starting.", "Try again in a few seconds.")
    launched.stop()
    deadline = time.monotonic() + request.patience
    while launched.alive() is not False and time.monotonic() < deadline:
        time.sleep(0.05)
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
        end_job(paths, status, state=STOPPED, cause="killed" if alive else "stopped")
    return StopAnswer(id=paths.id, status=state_of(paths), already=False)


def _only(root: Path) -> JobPaths:
    """The one job that goes on; a service is meant only where nothing else does."""
    going = [paths for paths in live(root) if state_of(paths).state not in ENDED]
    jobs = [(paths, job_of(paths)) for paths in going]
    going = [paths for paths, job in jobs if job is None or not kind_of(job).serves] or going
    if len(going) == 1:
        return going[0]
    if not going:
        raise JobError("No job goes on here.", "inv remote-ps lists those that have ended.")
    names = ", ".join(paths.id for paths in going[-5:])
    raise JobError(f"{len(going)} jobs go on here: say which.", names)
