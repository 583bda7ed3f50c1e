"""Makes MLflow stores of any size, by SQL: `python -m bench.stores STORE EXPERIMENT RUNS POINTS`.

The rows are those that MlflowClient writes for such runs, in the order of logging. Values have all
the digits that those of a training have, and are the same whenever they are made.
"""

from __future__ import annotations

import random
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from remote.tracking.empty_store import ensure_store

#: Metrics that a run logs at each step.
METRICS = ("loss", "accuracy", "val_loss", "val_accuracy")

START = 1_700_000_000_000  # milliseconds since 1970
PARAMETERS = {"lr": "0.01", "batch_size": "32", "hidden": "48", "seed": "0", "epoch": "1000"}

_EXPERIMENT = """
INSERT INTO experiments
    (name, artifact_location, lifecycle_stage, creation_time, last_update_time)
VALUES (?, ?, 'active', ?, ?)
"""
_RUN = """
INSERT INTO runs
VALUES (:run, :name, 'UNKNOWN', '', '', 'unknown', 'FINISHED', :start, :end, '', 'active',
    :artifacts, :experiment, NULL)
"""
_METRICS = """
WITH RECURSIVE point (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM point WHERE n + 1 < :points)
INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan)
SELECT CASE n % 4 WHEN 0 THEN :key0 WHEN 1 THEN :key1 WHEN 2 THEN :key2 ELSE :key3 END,
    ((n + 1) * 48271 * :factor % 1000003) / 1000003.0,
    :start + n * 1000 + n * 7919 % 997, :run, n / 4, 0
FROM point
"""
_LATEST = """
INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)
SELECT key, value, max(timestamp), step, is_nan, run_uuid FROM metrics WHERE run_uuid = ?
GROUP BY key
"""


def fill(store: Path, experiment: str, runs: int, points: int) -> None:
    """Add `runs` runs of `points` metric points each to an experiment, which is made if missing."""
    ensure_store(store, store.parent / "mlruns")
    with closing(sqlite3.connect(store)) as database:
        database.execute("PRAGMA synchronous = OFF")
        database.execute("PRAGMA cache_size = -200000")
        with database:
            made = _experiment(database, store, experiment)
            (before,) = database.execute("SELECT count(*) FROM runs").fetchone()
            for number in range(before, before + runs):
                _log_run(database, store, made, number, points)


def _experiment(database: sqlite3.Connection, store: Path, name: str) -> int:
    query = "SELECT experiment_id FROM experiments WHERE name = ?"
    if database.execute(query, (name,)).fetchone() is None:
        made = database.execute(_EXPERIMENT, (name, "", START, START)).lastrowid
        database.execute(
            "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?",
            (f"{store.parent}/mlruns/{made}", made),
        )
    return int(database.execute(query, (name,)).fetchone()[0])


def _log_run(
    database: sqlite3.Connection, store: Path, experiment: int, number: int, points: int
) -> None:
    """One run after the other, a second for each point: no two share a time."""
    run = f"{random.Random(f'{store.parent.name} {number}').getrandbits(128):032x}"
    start = START + number * points * 1000
    run_values = {
        "run": run,
        "name": f"run {number}",
        "start": start,
        "end": start + points * 1000,
        "artifacts": f"{store.parent}/mlruns/{experiment}/{run}/artifacts",
        "experiment": experiment,
    }
    database.execute(_RUN, run_values)
    keys = {f"key{place}": key for place, key in enumerate(METRICS)}
    metric_values = {**keys, "points": points, "start": start, "run": run, "factor": number + 1}
    database.execute(_METRICS, metric_values)
    database.execute(_LATEST, (run,))
    tags = {"model": "mlp", "mlflow.runName": f"run {number}"}
    for table, rows in (("params", PARAMETERS), ("tags", tags)):
        database.executemany(
            f"INSERT INTO {table} (key, value, run_uuid) VALUES (?, ?, ?)",
            [(key, value, run) for key, value in rows.items()],
        )


if __name__ == "__main__":
    fill(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
