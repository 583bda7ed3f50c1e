"""`inv remote-ps`: the jobs of a target, what became of them, and how far they are."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Dict, List, Optional, Tuple

from remote.agent.job_folders.find_jobs import every, find, job_of, live
from remote.agent.job_folders.liveness import state_of
from remote.agent.target_dir import root_of
from remote.errors import ProtocolError
from remote.job.messages.jobs import JobsAnswer, JobsRequest, JobSummary, Metric
from remote.job.paths import JobPaths
from remote.job.state import ENDED
from remote.job.status import Progress

# Most calls find no job that goes on, and start faster without.
if TYPE_CHECKING:
    import sqlite3

#: What a summary has of what was asked; of the runs, the last attempt's counts.
_SHOWN = ("name", "kind", "source", "submitted", "experiment", "user", "after")

#: How many metrics are shown of a job.
METRICS = 3


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
        summaries = with_metrics(root, summaries)
    return JobsAnswer(jobs=tuple(summaries), now=time.time())


def _summary(paths: JobPaths) -> JobSummary:
    job, status = job_of(paths), state_of(paths)
    facts = dict(vars(status))
    if job:
        facts.update({name: getattr(job, name) for name in _SHOWN})
        facts["mlflow_run"] = status.mlflow_run or job.mlflow_run
    return JobSummary(**facts, id=paths.id, progress=_progress(paths))


def _progress(paths: JobPaths) -> Optional[Progress]:
    try:
        return Progress.from_file(paths.progress)
    except ProtocolError:
        return None


def with_metrics(root: Path, jobs: List[JobSummary]) -> List[JobSummary]:
    """The same jobs; those that go on with their newest metrics and the states of their runs."""
    import sqlite3

    from remote.agent.tracking.job_run import store_of
    from remote.tracking.store import connect_read_only, is_store

    if not is_store(store_of(root)):
        return jobs
    try:
        with closing(connect_read_only(store_of(root))) as database:
            return [job if job.state in ENDED else _looked_up(database, job) for job in jobs]
    except sqlite3.Error:
        # A store that is being moved or migrated: the list of jobs matters more.
        return jobs


def _looked_up(database: sqlite3.Connection, job: JobSummary) -> JobSummary:
    run = job.mlflow_run
    return job.replace(metrics=_metrics(database, run), children=_children(database, run))


def _metrics(database: sqlite3.Connection, run: str) -> Tuple[Metric, ...]:
    rows = database.execute(
        "SELECT key, value, step FROM latest_metrics WHERE run_uuid = ? AND is_nan = 0"
        " ORDER BY timestamp DESC, step DESC, key LIMIT ?",
        (run, METRICS),
    )
    return tuple(Metric(key, value, step) for key, value, step in rows)


def _children(database: sqlite3.Connection, run: str) -> Dict[str, int]:
    rows = database.execute(
        "SELECT runs.status, COUNT(*) FROM runs JOIN tags ON tags.run_uuid = runs.run_uuid"
        " WHERE tags.key = 'mlflow.parentRunId' AND tags.value = ? GROUP BY runs.status",
        (run,),
    )
    return dict(rows.fetchall())
