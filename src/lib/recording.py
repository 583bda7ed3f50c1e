"""One MLflow run of an experiment, typed by hand or in a job."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import mlflow
from mlflow import ActiveRun, MlflowException


class Unrecorded(RuntimeError):
    """MLflow refuses the run; the message says why."""


@contextmanager
def recorded(
    experiment: str, name: str, *, tags: Mapping[str, str], parent: str = ""
) -> Iterator[ActiveRun]:
    """A run in `experiment`, below `parent` where one is given; raises Unrecorded."""
    for each in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(each) is not signal.SIG_IGN:
            signal.signal(each, _leave)
    try:
        mlflow.set_experiment(experiment)
        run = mlflow.start_run(run_name=name, parent_run_id=parent or None, tags=dict(tags))
    except MlflowException as error:
        raise Unrecorded(f"MLflow: {error.message}") from error
    with run:
        yield run


def _leave(number: int, frame: Any) -> None:
    """Without this, a run whose process is asked to end would stay RUNNING for ever.

    scikit-learn's networks take Ctrl-C for the end of a step, and go on.
    """
    sys.exit(128 + number)
