"""Fills an MLflow store, by MLflow itself: `python -m bench.stores STORE EXPERIMENT RUNS POINTS`."""

from __future__ import annotations

import sys
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from remote.merge import ensure_store

#: Metrics that a run logs at each step.
METRICS = ("loss", "accuracy", "val_loss", "val_accuracy")

START = 1_700_000_000_000  # milliseconds since 1970
BATCH = 1000  # metrics that MLflow takes at once
PARAMETERS = {"lr": "0.01", "batch_size": "32", "hidden": "48", "seed": "0", "epoch": "1000"}


def fill(store: Path, experiment: str, runs: int, points: int) -> None:
    """Log `runs` runs with `points` metric points each, below an experiment of the store's own."""
    ensure_store(store, store.parent / "mlruns")
    client = MlflowClient(f"sqlite:///{store}")
    location = str(store.parent / "mlruns" / experiment)
    made = client.create_experiment(experiment, location)
    for number in range(runs):
        _log_run(client, made, number, points)


def _log_run(client: MlflowClient, experiment: str, number: int, points: int) -> None:
    """One run after the other, a second for each point: no two share a time."""
    run = client.create_run(experiment, run_name=f"run {number}", tags={"model": "mlp"})
    start = START + number * points * 1000
    metrics = [
        Metric(METRICS[point % len(METRICS)], 1 / (point + 1), start + point * 1000, step)
        for point, step in ((point, point // len(METRICS)) for point in range(points))
    ]
    params = [Param(key, value) for key, value in PARAMETERS.items()]
    client.log_batch(run.info.run_id, params=params)
    for first in range(0, points, BATCH):
        client.log_batch(run.info.run_id, metrics=metrics[first : first + BATCH])
    client.set_terminated(run.info.run_id)


if __name__ == "__main__":
    fill(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
