"""`--after JOB`: a job that begins when another one has ended well."""

from __future__ import annotations

import time
from typing import Callable

from remote.agent.job_folders.liveness import state_of
from remote.errors import JobError
from remote.job.paths import JobPaths
from remote.job.state import ENDED, FINISHED

LOOK = 0.3


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
