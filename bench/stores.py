"""Fills an MLflow store, by MLflow itself: `python -m bench.stores STORE EXPERIMENT RUNS POINTS`."""

from __future__ import annotations

import sys
from pathlib import Path

from remote.merge import ensure_store

#: Metrics that a run logs at each step.
METRICS = ("loss", "accuracy", "val_loss", "val_accuracy")

PARAMETERS = {"lr": "0.01", "batch_size": "32", "hidden": "48", "seed": "0", "epoch": "1000"}


def fill(store: Path, experiment: str, runs: int, points: int) -> None:
    """Log `runs` runs with `points` metric points each, below an experiment of the store's own."""
    from mlflow import MlflowClient

    ensure_store(store, store.parent / "mlruns")
    client = MlflowClient(f"sqlite:///{store}")
    location = str(store.parent / "mlruns" / experiment)
    made = client.create_experiment(experiment, location)
    for number in range(runs):
        _log_run(client, made, f"run {number}", points)


def _log_run(client, experiment: str, name: str, points: int) -> None:  # type: ignore[no-untyped-def]
    from mlflow.entities import Metric, Param

    run = client.create_run(experiment, run_name=name, tags={"model": "mlp"})
    steps = [
        Metric(METRICS[number % len(METRICS)], 1 / (number + 1), 1_700_000_000_000 + number, step)
        for number, step in ((number, number // len(METRICS)) for number in range(points))
    ]
    params = [Param(key, value) for key, value in PARAMETERS.items()]
    client.log_batch(run.info.run_id, params=params)
    for start in range(0, points, 1000):
        client.log_batch(run.info.run_id, metrics=steps[start : start + 1000])
    client.set_terminated(run.info.run_id)


if __name__ == "__main__":
    fill(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
