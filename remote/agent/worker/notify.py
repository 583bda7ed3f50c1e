"""`--notify COMMAND`: the user's own command, run on the server when a job has ended."""

from __future__ import annotations

import os
import subprocess
from typing import IO, Dict

from remote.job.paths import JobPaths
from remote.job.spec import Job
from remote.job.status import JobStatus

#: Seconds that the command may take.
LIMIT = 60.0


def notify(paths: JobPaths, job: Job, status: JobStatus, log: IO[bytes]) -> None:
    """Run it by `sh -c`, told by variables what became of the job; it can't fail the job."""
    try:
        subprocess.run(
            ["sh", "-c", job.notify],
            cwd=str(paths.root),
            env={**os.environ, **job.env, **variables(job, status)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            timeout=LIMIT,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        log.write(f"[remote] --notify: {error}\n".encode("utf-8", "backslashreplace"))


def variables(job: Job, status: JobStatus) -> Dict[str, str]:
    """The variables that the command finds."""
    return {
        "REMOTE_JOB_ID": job.id,
        "REMOTE_JOB_NAME": job.name,
        "REMOTE_JOB_STATE": status.state,
        "REMOTE_JOB_EXIT_CODE": str(status.exit_code),
        "REMOTE_JOB_CAUSE": status.cause,
        "REMOTE_JOB_RESULT": status.result,
    }
