"""`inv remote-attach`: which command shows the terminal of a job's worker."""

from __future__ import annotations

from remote.agent.job_folders.find_jobs import find, job_of
from remote.agent.job_folders.liveness import launch_of, state_of
from remote.agent.target_dir import root_of
from remote.errors import JobError
from remote.job.messages.live_job import AttachAnswer, AttachRequest
from remote.job.state import ENDED


def attach(request: AttachRequest) -> AttachAnswer:
    """As the job's launcher has it; raises JobError where there is no such terminal."""
    paths = find(root_of(request.key), request.job)
    job, status = job_of(paths), state_of(paths)
    if status.state in ENDED:
        raise JobError(f"{paths.id} has ended: {status.state}.", f"inv remote-logs {paths.id}")
    if job and job.interpreter:
        raise JobError(f"{paths.id} runs in a terminal of that machine, which is no session.")
    launched = launch_of(paths, status)
    if launched is None:
        raise JobError(f"{paths.id} is just starting.", "Try again in a few seconds.")
    return AttachAnswer(paths.id, tuple(launched.attach(paths.id)))
