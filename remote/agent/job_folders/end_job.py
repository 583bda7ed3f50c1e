"""The end of a job whose worker can't see to it any more."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from remote.agent.job_folders import results
from remote.agent.job_folders.find_jobs import forget, job_of
from remote.agent.job_folders.raw_data import ReadOnly
from remote.agent.tracking.job_run import end_runs
from remote.job.fields import save
from remote.job.paths import JobPaths
from remote.job.status import JobStatus


def end_job(paths: JobPaths, status: JobStatus) -> JobStatus:
    """Keep its results, end its runs and write its status down, which comes back."""
    job = job_of(paths)
    if job:
        status = replace(status, result=results.keep(paths, job, status) or status.result)
        results.keep_account(paths, job, status)
        end_runs(paths, job, status)
    save(paths.status, status)
    forget(paths)
    with contextlib.suppress(OSError, ValueError):
        ReadOnly(paths.root).give_back()
    return status
