"""One MLflow run for each training, with what Hydra knows of it, below the run of its sweep.

In a job the toolkit has made these runs already; what is started by hand gets them here.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from omegaconf import DictConfig, OmegaConf

#: The run of the sweep that the trials of this process, and of its children, belong to.
SWEEP = "SWEEP_RUN_ID"


@contextmanager
def sweep(experiment: str) -> Iterator[None]:
    """Around Hydra's main: the run that the trials of a multirun typed by hand are below."""
    # Left to itself, a process that is asked to end leaves its runs RUNNING for ever.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    if "REMOTE_JOB_RUN" in os.environ or not {"-m", "--multirun"} & set(sys.argv):
        yield
        return
    import mlflow

    mlflow.set_experiment(experiment)
    with mlflow.start_run(run_name="sweep") as run:
        os.environ[SWEEP] = run.info.run_id
        mlflow.set_tag("overrides", " ".join(sys.argv[1:]))
        try:
            yield
        finally:
            _end_trials(run)


def _end_trials(sweep: Any) -> None:
    """End the trials of processes that were killed with the sweep."""
    import mlflow

    client = mlflow.MlflowClient()
    still = f"tags.mlflow.parentRunId = '{sweep.info.run_id}' and attributes.status = 'RUNNING'"
    for run in client.search_runs([sweep.info.experiment_id], still):
        client.set_terminated(run.info.run_id, "KILLED")


@contextmanager
def recorded(config: DictConfig) -> Iterator[Any]:
    """A run with all of `config`; Hydra's files and the log are added however it ends."""
    import mlflow
    from hydra.core.hydra_config import HydraConfig

    sweep, hydra = os.environ.get(SWEEP), HydraConfig.get()
    # MLflow draws names by chance, which starts anew where a trial sets its seed.
    name = f"{hydra.job.name}-{hydra.job.num}" if sweep else None
    with mlflow.start_run(nested=True, parent_run_id=sweep, run_name=name) as run:
        mlflow.log_params(OmegaConf.to_container(config, resolve=True))
        try:
            yield run
        except Exception:
            mlflow.log_text(traceback.format_exc(), "error.txt")
            raise
        finally:
            mlflow.log_artifacts(hydra.runtime.output_dir)
