"""`inv remote-ps`: the jobs of a target, what became of them, and how far they are."""

from __future__ import annotations

import itertools
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Set

from remote.agent.job_folders import find, job_of, live, newest_first
from remote.agent.job_state import state_of
from remote.agent.processes import uptime
from remote.agent.target_dir import root_of
from remote.errors import ProtocolError, StoreError
from remote.files import shortened
from remote.job.fields import NAME
from remote.job.messages.jobs import JobsAnswer, JobsRequest, JobSummary, Metric
from remote.job.paths import JobPaths
from remote.job.status import ENDED, Progress

if TYPE_CHECKING:
    from remote.job.messages.old_jobs import UnpulledAnswer, UnpulledRequest

#: What a summary has of what was asked; of the runs, the last attempt's counts.
_SHOWN = ("name", "kind", "source", "submitted", "experiment", "user", "after", "again")

#: Letters of what was asked that a list shows, and of a value that is shown beside others.
SHOWN = 200

#: Seconds that a list of jobs waits for metrics in a store that somebody has locked.
PATIENCE = 2.0

#: The newest three metrics of a run, without those of its machine.
_METRICS = (
    "SELECT key, value, step FROM latest_metrics WHERE run_uuid = ? AND is_nan = 0"
    " AND key NOT LIKE 'system/%'"
    " ORDER BY timestamp DESC, step DESC, key LIMIT 3"
)
_CHILDREN = (
    "SELECT runs.status, COUNT(*) FROM runs JOIN tags ON tags.run_uuid = runs.run_uuid"
    " WHERE tags.key = 'mlflow.parentRunId' AND tags.value = ? GROUP BY runs.status"
)


def describe(request: JobsRequest) -> JobsAnswer:
    """The jobs of a target. Ended ones that nobody asks for are not even looked at."""
    root = root_of(request.key)
    if request.jobs:
        selected = [find(root, name) for name in request.jobs]
    else:
        newest = list(itertools.islice(newest_first(root), request.newest or None))[::-1]
        shown = {paths.id for paths in newest}
        selected = [*(paths for paths in live(root) if paths.id not in shown), *newest]
    summaries = [_summary(paths) for paths in selected]
    if any(job.state not in ENDED for job in summaries):
        summaries = with_metrics(root, summaries)
    if request.jobs:
        summaries = [_in_full(paths, job) for paths, job in zip(selected, summaries)]
    now = time.time()
    return JobsAnswer(jobs=tuple(summaries), now=now, booted=max(0.0, now - uptime()))


def list_unpulled(request: UnpulledRequest) -> UnpulledAnswer:
    """What a job's code wrote, so far, and no pull brings."""
    # Lists of jobs start faster without.
    from remote.agent import unpulled
    from remote.job.messages.old_jobs import UnpulledAnswer

    paths = find(root_of(request.key), request.job)
    job, ended = job_of(paths), state_of(paths).state in ENDED
    if request.brought and job and ended:
        # Where the disk was full at its end, the list is still to be written.
        unpulled.end(paths, job)
        unpulled.brought(paths, request.brought)
    return UnpulledAnswer(id=paths.id, files=unpulled.read(paths, job).files, ended=ended)


def _in_full(paths: JobPaths, summary: JobSummary) -> JobSummary:
    """A job that is named: all that was asked, and what it wrote where no pull brings it from."""
    from remote.agent import unpulled

    job = job_of(paths)
    facts: Dict[str, Any] = {}
    if job:
        facts = {
            "asked": shortened(job.typed, NAME),
            "parameters": {
                shortened(name, SHOWN): shortened(str(value), SHOWN)
                for name, value in job.all_parameters.items()
            },
            "cwd": job.cwd,
            "retries": job.retries,
            "timeout": job.timeout,
            "variables": tuple(sorted(job.env)),
        }
    return summary.replace(**facts, unpulled=unpulled.of_ended(paths))


def _summary(paths: JobPaths) -> JobSummary:
    job, status = job_of(paths), state_of(paths)
    facts = dict(vars(status))
    if job:
        facts.update({name: getattr(job, name) for name in _SHOWN})
        facts["asked"] = shortened(job.typed, SHOWN)
        facts["mlflow_run"] = status.mlflow_run or job.mlflow_run
    progress: Optional[Progress] = None
    with suppress(ProtocolError):
        progress = Progress.from_file(paths.progress)
    return JobSummary(**facts, id=paths.id, progress=progress)


def with_metrics(root: Path, jobs: List[JobSummary]) -> List[JobSummary]:
    """The same jobs; those that go on with their newest metrics and the states of their runs."""
    # Most calls find no job that goes on, and start faster without.
    from remote.agent.tracking.job_run import store_of_job

    stores = {
        job.id: store_of_job(JobPaths(root, job.id)) for job in jobs if job.state not in ENDED
    }
    for store in dict.fromkeys(stores.values()):
        ids = {job_id for job_id, place in stores.items() if place == store}
        jobs = _with_metrics_of(store, ids, jobs)
    return jobs


def _with_metrics_of(store: Path, ids: Set[str], jobs: List[JobSummary]) -> List[JobSummary]:
    """The same jobs; those of these `ids` with what the store has of them."""
    import sqlite3

    from remote.tracking.store import connect_read_only, is_store

    described = []
    try:
        if not is_store(store, patience=PATIENCE):
            return jobs
        with closing(connect_read_only(store, PATIENCE)) as database:
            for job in jobs:
                if job.id in ids:
                    metrics = database.execute(_METRICS, (job.mlflow_run,))
                    children = database.execute(_CHILDREN, (job.mlflow_run,))
                    job = job.replace(
                        metrics=tuple(Metric(*row) for row in metrics),
                        children=dict(children.fetchall()),
                    )
                described.append(job)
    except (StoreError, sqlite3.Error):
        # A store that is locked, moved or migrated: the list of jobs matters more.
        return jobs
    return described
