"""The loop that one would write with MlflowClient: `python -m bench.loop THERE HERE EXPERIMENT`."""

from __future__ import annotations

import sys
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Param, Run

BATCH = 1000  # metrics that MLflow takes at once


def copy(there: Path, here: Path, experiment: str) -> None:
    """Give the store `here` a copy of each run of an experiment in the store `there`."""
    source, target = MlflowClient(f"sqlite:///{there}"), MlflowClient(f"sqlite:///{here}")
    found = source.get_experiment_by_name(experiment)
    assert found is not None
    made = target.create_experiment(experiment, str(here.parent / "mlruns" / experiment))
    page: str | None = ""
    while page is not None:
        runs = source.search_runs([found.experiment_id], max_results=1000, page_token=page or None)
        for run in runs:
            _copy_run(source, target, made, run)
        page = runs.token or None


def _copy_run(source: MlflowClient, target: MlflowClient, experiment: str, run: Run) -> None:
    made = target.create_run(
        experiment, run.info.start_time, run.data.tags, run.info.run_name
    ).info.run_id
    params = [Param(key, value) for key, value in run.data.params.items()]
    target.log_batch(made, params=params)
    for key in run.data.metrics:
        points = source.get_metric_history(run.info.run_id, key)
        for first in range(0, len(points), BATCH):
            target.log_batch(made, metrics=points[first : first + BATCH])
    target.set_terminated(made, run.info.status, run.info.end_time)


if __name__ == "__main__":
    copy(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
