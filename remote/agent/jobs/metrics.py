"""How far running jobs are: their newest MLflow metrics, and their children's states."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Dict, List

from remote.agent.tracking.job_run import run_of, store_of
from remote.tracking.store import connect_read_only, is_store

#: How many metrics are shown of a job.
SHOWN = 3


def add_metrics(root: Path, jobs: List[Dict[str, Any]]) -> None:
    """Give each job `metrics` (key, value, step: the newest) and `children` (status: count)."""
    if not jobs or not is_store(store_of(root)):
        return
    try:
        with closing(connect_read_only(store_of(root))) as database:
            for job in jobs:
                run = run_of(job, job)
                job["metrics"] = _metrics(database, run)
                job["children"] = _children(database, run)
    except sqlite3.Error:
        # A store that is being moved or migrated: the list of jobs matters more.
        return


def _metrics(database: sqlite3.Connection, run: str) -> List[Dict[str, Any]]:
    found = database.execute(
        "SELECT key, value, step FROM latest_metrics WHERE run_uuid = ? AND is_nan = 0"
        " ORDER BY timestamp DESC, step DESC, key LIMIT ?",
        (run, SHOWN),
    )
    return [{"key": key, "value": value, "step": step} for key, value, step in found]


def _children(database: sqlite3.Connection, run: str) -> Dict[str, int]:
    found = database.execute(
        "SELECT runs.status, COUNT(*) FROM runs JOIN tags ON tags.run_uuid = runs.run_uuid"
        " WHERE tags.key = 'mlflow.parentRunId' AND tags.value = ? GROUP BY runs.status",
        (run,),
    )
    return dict(found)
