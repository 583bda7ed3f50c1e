"""`inv remote-ps`: the jobs of a target, what became of them, and how far they are."""

from __future__ import annotations

import time
from dataclasses import fields
from typing import Optional

from remote.agent.job_folders.find_jobs import every, find, job_of, live
from remote.agent.job_folders.liveness import state_of
from remote.agent.target_dir import root_of
from remote.errors import ProtocolError
from remote.job.fields import load
from remote.job.messages.jobs import JobsAnswer, JobsRequest, JobSummary
from remote.job.paths import JobPaths
from remote.job.state import ENDED
from remote.job.status import JobStatus, Progress

#: What a summary has of what was asked; of the runs, the last attempt's counts.
_SHOWN = ("name", "kind", "source", "submitted", "experiment", "user", "after")


def describe(request: JobsRequest) -> JobsAnswer:
    """The jobs of a target. Ended ones that nobody asks for are not even looked at."""
    root = root_of(request.key)
    if request.jobs:
        selected = [find(root, name) for name in request.jobs]
    else:
        all_jobs = every(root)
        shown = {paths.id for paths in [*live(root), *all_jobs[-request.newest :]]}
        selected = [paths for paths in all_jobs if paths.id in shown]
    summaries = [_summary(paths) for paths in selected]
    if any(job.state not in ENDED for job in summaries):
        from remote.agent.jobs.metrics import with_metrics

        summaries = with_metrics(root, summaries)
    return JobsAnswer(jobs=tuple(summaries), now=time.time())


def _summary(paths: JobPaths) -> JobSummary:
    job, status = job_of(paths), state_of(paths)
    facts = {member.name: getattr(status, member.name) for member in fields(JobStatus)}
    if job:
        facts.update({name: getattr(job, name) for name in _SHOWN})
        facts["mlflow_run"] = status.mlflow_run or job.mlflow_run
    return JobSummary(**facts, id=paths.id, progress=_progress(paths))


def _progress(paths: JobPaths) -> Optional[Progress]:
    try:
        return load(Progress, paths.progress)
    except ProtocolError:
        return None
