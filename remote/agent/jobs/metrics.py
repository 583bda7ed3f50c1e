"""How far running jobs are: their newest MLflow metrics, and their children's states."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Dict, List, Tuple

from remote.agent.tracking.job_run import store_of
from remote.job.messages.jobs import JobSummary, Metric
from remote.job.state import ENDED
from remote.tracking.store import connect_read_only, is_store

#: How many metrics are shown of a job.
SHOWN = 3


def with_metrics(root: Path, jobs: List[JobSummary]) -> List[JobSummary]:
    """The same jobs; those that go on with their newest metrics and the states of their runs."""
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
    return replace(job, metrics=_metrics(database, run), children=_children(database, run))


def _metrics(database: sqlite3.Connection, run: str) -> Tuple[Metric, ...]:
    rows = database.execute(
        "SELECT key, value, step FROM latest_metrics WHERE run_uuid = ? AND is_nan = 0"
        " ORDER BY timestamp DESC, step DESC, key LIMIT ?",
        (run, SHOWN),
    )
    return tuple(Metric(key, value, step) for key, value, step in rows)


def _children(database: sqlite3.Connection, run: str) -> Dict[str, int]:
    rows = database.execute(
        "SELECT runs.status, COUNT(*) FROM runs JOIN tags ON tags.run_uuid = runs.run_uuid"
        " WHERE tags.key = 'mlflow.parentRunId' AND tags.value = ? GROUP BY runs.status",
        (run,),
    )
    return dict(rows.fetchall())
