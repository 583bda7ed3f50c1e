"""`--notify COMMAND`: the user's own command, run on the server when a job has ended."""

from __future__ import annotations

import os
import subprocess
from typing import IO, Any, Dict, Mapping

from remote.job.paths import JobPaths

#: Seconds that the command may take.
LIMIT = 60.0


def notify(
    paths: JobPaths, job: Mapping[str, Any], status: Mapping[str, Any], log: IO[bytes]
) -> None:
    """Run it by `sh -c`, told by variables what became of the job; it can't fail the job."""
    try:
        subprocess.run(
            ["sh", "-c", job["notify"]],
            cwd=str(paths.root),
            env={**os.environ, **job.get("env", {}), **told(paths, job, status)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            timeout=LIMIT,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        log.write(f"[remote] --notify: {error}\n".encode("utf-8", "backslashreplace"))


def told(paths: JobPaths, job: Mapping[str, Any], status: Mapping[str, Any]) -> Dict[str, str]:
    """The variables that the command finds."""
    return {
        "REMOTE_JOB_ID": paths.id,
        "REMOTE_JOB_NAME": str(job["name"]),
        "REMOTE_JOB_STATE": str(status["state"]),
        "REMOTE_JOB_EXIT_CODE": str(status["exit_code"]),
        "REMOTE_JOB_CAUSE": str(status["cause"]),
        "REMOTE_JOB_RESULT": str(status.get("result", "")),
    }
