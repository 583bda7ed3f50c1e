"""The runs below a job's own, by plain SQL: what `remote.agent.tracking.run_rows` does for the job's run.

A trial's run says in `remote.trial` how far it is: running, ended, or interrupted, which the next
job on the same study takes up again. Everything here raises StoreError.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import List, Mapping, NamedTuple, Optional, Sequence

from remote.agent.tracking.run_rows import MAX_TAG, put_params, put_tags, read_rows
from remote.tracking.store import writing

RUNNING = "running"
ENDED = "ended"
INTERRUPTED = "interrupted"

PARENT = "mlflow.parentRunId"
OVERRIDES = "remote.overrides"
STUDY = "remote.study"
TRIAL = "remote.trial"


class TrialRun(NamedTuple):
    """A trial's MLflow run: its id, what Hydra was told for it, and whether it was deleted."""

    run_id: str
    overrides: Sequence[str]
    deleted: bool = False


def experiment_of(store: Path, run_id: str) -> Optional[str]:
    """The name of the experiment that a run belongs to; None where there is no such run."""
    found = (
        "SELECT e.name FROM experiments e JOIN runs r ON r.experiment_id = e.experiment_id"
        " WHERE r.run_uuid = ?"
    )
    rows = read_rows(store, found, run_id)
    return str(rows[0]["name"]) if rows else None


def add_params(store: Path, run_id: str, params: Mapping[str, str]) -> None:
    """Give a run the parameters that it doesn't have yet."""
    if params:
        with writing(store) as database:
            put_params(database, run_id, params)


def add_metric(store: Path, run_id: str, key: str, value: float, now_ms: int) -> None:
    """Log one value of a metric, at step 0, unless the run has that metric already."""
    nan = value != value
    # MLflow stores infinity as the greatest number that its column takes.
    finite = max(min(float(value), sys.float_info.max), -sys.float_info.max)
    row = (run_id, key, 0.0 if nan else finite, now_ms, 0, nan)
    with writing(store) as database:
        for table in ("metrics", "latest_metrics"):
            database.execute(
                f"INSERT OR IGNORE INTO {table} (run_uuid, key, value, timestamp, step, is_nan)"
                f" SELECT ?, ?, ?, ?, ?, ? WHERE NOT EXISTS"
                f" (SELECT 1 FROM {table} WHERE run_uuid = ? AND key = ?)",
                (*row, run_id, key),
            )


_CLOSE = (
    "UPDATE runs SET status = ?, end_time = ? WHERE status IN ('RUNNING', 'SCHEDULED')"
    " AND run_uuid IN"
)


def close(store: Path, run_id: str, *, status: str, end_ms: int) -> None:
    """End a run that is still RUNNING; `status` is FINISHED, FAILED or KILLED."""
    with writing(store) as database:
        database.execute(f"{_CLOSE} (?)", (status, end_ms, run_id))


def close_all(store: Path, *, job: str, run_id: str, status: str, end_ms: int) -> None:
    """End all that a job left RUNNING: its own run, those below it, and those with its tag."""
    tree = (
        "WITH RECURSIVE tree (id) AS (SELECT ? UNION"
        " SELECT run_uuid FROM tags WHERE key = 'remote.job' AND value = ? UNION"
        f" SELECT t.run_uuid FROM tags t JOIN tree ON t.key = '{PARENT}' AND t.value = tree.id)"
        " SELECT id FROM tree"
    )
    with writing(store) as database:
        database.execute(f"{_CLOSE} ({tree})", (status, end_ms, run_id, job))


def trials(store: Path, study: str) -> List[TrialRun]:
    """The runs of a study's trials, the oldest first."""
    found = (
        "SELECT r.run_uuid, r.lifecycle_stage, o.value AS overrides FROM runs r"
        " JOIN tags s ON s.run_uuid = r.run_uuid AND s.key = ? AND s.value = ?"
        " JOIN tags o ON o.run_uuid = r.run_uuid AND o.key = ?"
        " ORDER BY r.start_time, r.rowid"
    )
    return [
        TrialRun(row["run_uuid"], _listed(row["overrides"]), row["lifecycle_stage"] != "active")
        for row in read_rows(store, found, STUDY, study, OVERRIDES)
    ]


def spelled(overrides: Sequence[str]) -> str:
    """The tag that holds a trial's overrides."""
    return json.dumps(list(overrides), ensure_ascii=False)


def _listed(text: str) -> Sequence[str]:
    try:
        return tuple(map(str, json.loads(text)))
    except (ValueError, TypeError):
        # Cut off at the length that MLflow gives a tag.
        return ()


def take_up(
    store: Path, *, study: str, overrides: Sequence[str], tags: Mapping[str, str]
) -> Optional[str]:
    """Let an interrupted trial's run go on, with the tags of the job that goes on with it."""
    found = (
        "SELECT r.run_uuid FROM runs r"
        " JOIN tags s ON s.run_uuid = r.run_uuid AND s.key = ? AND s.value = ?"
        " JOIN tags o ON o.run_uuid = r.run_uuid AND o.key = ? AND o.value = ?"
        " JOIN tags t ON t.run_uuid = r.run_uuid AND t.key = ? AND t.value = ?"
        " WHERE r.lifecycle_stage = 'active' ORDER BY r.start_time, r.rowid LIMIT 1"
    )
    text = spelled(overrides)[:MAX_TAG]
    with writing(store) as database:
        named = (STUDY, study, OVERRIDES, text, TRIAL, INTERRUPTED)
        row = database.execute(found, named).fetchone()
        if row is None:
            return None
        run_id = str(row["run_uuid"])
        database.execute(
            "UPDATE runs SET status = 'RUNNING', end_time = NULL WHERE run_uuid = ?", (run_id,)
        )
        put_tags(database, run_id, tags)
        return run_id
