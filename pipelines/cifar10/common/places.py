"""Folders of the project, and artifacts of runs."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import mlflow
from common.step import StepError

PIPELINE = Path(__file__).resolve().parents[1]
ROOT = PIPELINE.parents[1]

RUNS = "runs:/"


def enter_project() -> None:
    """From here on relative paths count from the project's root."""
    os.chdir(ROOT)


def new_folder(below: str, run: str) -> Path:
    """A folder of this run's own: runs that work at once don't meet there."""
    folder = Path(below, run)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def work_folder(below: str, run: str) -> Iterator[Path]:
    """The same for files that become artifacts: then it goes, where the step failed it stays."""
    folder = new_folder(below, run)
    yield folder
    shutil.rmtree(folder)


def fetched(place: str) -> Path:
    """The folder that `runs:/RUN_ID/PATH` or a path stands for, on this machine; or StepError."""
    if place.startswith(RUNS):
        run, _, path = place[len(RUNS) :].partition("/")
        return _artifacts(find_run(run), path)
    if not Path(place).is_dir():
        raise StepError(f"There is no folder {place}.")
    return Path(place)


def _artifacts(run: mlflow.entities.Run, path: str) -> Path:
    """Artifacts that lie on this machine stay where they are; others are downloaded."""
    try:
        folder = Path(mlflow.artifacts.download_artifacts(f"{run.info.artifact_uri}/{path}"))
    except (OSError, mlflow.MlflowException) as error:
        raise StepError(f"The run {run.info.run_id} has no artifacts {path}.") from error
    return folder


def find_run(run: str) -> mlflow.entities.Run:
    """A run of the store; raises StepError."""
    try:
        return mlflow.MlflowClient().get_run(run)
    except mlflow.MlflowException as error:
        raise StepError(
            f"There is no run {run!r} in {mlflow.get_tracking_uri()}.\n"
            "A run is named where it was made: one of a target's in a job on that target."
        ) from error
