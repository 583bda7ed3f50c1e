"""Tell what images show, by the model of a run that src/train.py recorded."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib.settings import ROOT, Settings, SettingsError
from lib.task import Task, task_called
from lib.tasks.images import ImageTask

if TYPE_CHECKING:
    import numpy as np
    import pandas
    from mlflow.entities import Run

#: Where predictions go; a pull brings them.
FOLDER = Path("data/results/experiments/predictions")


def main() -> None:
    words = parser().parse_args()
    images = words.images
    if images.endswith(".npy"):
        images = os.path.abspath(images)
    # Data and records lie in the project, wherever this was typed.
    os.chdir(ROOT)
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    try:
        told(words.run, images)
    except SettingsError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("Interrupted.")


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    found.add_argument("--run", required=True, help="the id of a run, or a task: its newest run")
    found.add_argument(
        "--images",
        default="",
        help="FILE.npy (pixels between 0 and 1), or a data set of config/catalog.yaml: its images"
        " for tests (default: those of the run's own)",
    )
    return found


def told(run: str, images: str) -> None:
    """`infer`, with what others raise told in a line or two."""
    # Before MLflow, whose import takes seconds.
    task = None if is_id(run) else task_called(run)

    from mlflow import MlflowClient, MlflowException

    from lib.datasets import Unreachable
    from lib.recording import Unrecorded

    try:
        infer(newest(task) if task else MlflowClient().get_run(run), images)
    except MlflowException as error:
        sys.exit(f"MLflow: {error.message}")
    except (Unreachable, Unrecorded) as error:
        sys.exit(str(error))


def is_id(word: str) -> bool:
    return len(word) == 32 and set(word) <= set("0123456789abcdef")


def newest(task: type[Task]) -> Run:
    """The last run that finished; raises SettingsError where there is none."""
    from mlflow import MlflowClient

    client, name = MlflowClient(), task.__name__
    experiment = client.get_experiment_by_name(task.experiment)
    runs = experiment and client.search_runs(
        [experiment.experiment_id],
        f"tags.task = '{name}' and attributes.status = 'FINISHED'",
        order_by=["attributes.start_time DESC"],
        max_results=1,
    )
    if not runs:
        raise SettingsError(f"{name} has no finished run here: python src/train.py --task {name}")
    return runs[0]


def infer(run: Run, images: str) -> None:
    """A run of its own, below the one that trained the model."""
    import mlflow

    from lib.recording import recorded

    task = of_run(run)
    trained = run.info.run_id
    network, classes = task.load_model(trained)
    pixels, truth = wanted(images, task)
    fitting(task.rows(pixels).shape[1], network.n_features_in_)
    guessed, certainty = task.guess(network, pixels)
    tags = {"inference_of": trained}
    with recorded(task.experiment, f"{task.name} inference", tags=tags, parent=trained) as own:
        mlflow.log_params({"run": trained, "images": images or task.parameters["data"]})
        file = write(table(guessed, certainty, truth, classes), own.info.run_id)
        print(f"{len(pixels)} images: {file}")
        if truth is not None:
            judge(guessed, truth, classes)


def of_run(run: Run) -> ImageTask:
    """The task as it was when it ran."""
    import mlflow

    if "task" not in run.data.tags:
        raise SettingsError(f"The run {run.info.run_id} is none that src/train.py recorded.")
    kind = task_called(run.data.tags["task"])
    if not issubclass(kind, ImageTask):
        raise SettingsError(f"The task {kind.__name__} is not about images.")
    text = mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/config/effective.yaml")
    return kind(Settings.of_effective(text))


def wanted(images: str, task: ImageTask) -> tuple[np.ndarray, np.ndarray | None]:
    """The images, and the numbers of their classes where these are known."""
    from lib import catalog

    if images.endswith(".npy"):
        return read(Path(images)), None
    entry = catalog.entry(images) if images else task.settings.data
    data = catalog.load(entry, seed=task.parameters["seed"])
    return data.test_x, data.test_y


def read(file: Path) -> np.ndarray:
    """Images as (number, height, width[, channels]); raises SettingsError."""
    import numpy as np

    if not file.is_file():
        raise SettingsError(f"{file} is not there.")
    try:
        images = np.load(file, allow_pickle=False)
    except (ValueError, EOFError):
        raise SettingsError(f"{file} is no array of numbers as numpy.save writes it.") from None
    if images.ndim not in (3, 4) or not len(images) or images.dtype.kind not in "fiub":
        raise SettingsError(
            f"{file} holds {images.dtype} {images.shape}: images are"
            " (number, height, width) or (number, height, width, channels)."
        )
    if not (images.min() >= 0 and images.max() <= 1):
        raise SettingsError(f"{file}: pixels must be between 0 and 1. Divide them by the largest.")
    return images


def fitting(pixels: int, wanted: int) -> None:
    if pixels != wanted:
        raise SettingsError(f"Each image has {pixels} values; the model takes images of {wanted}.")


def table(
    guessed: np.ndarray, certainty: np.ndarray, truth: np.ndarray | None, classes: list[str]
) -> pandas.DataFrame:
    """A row for each image, in their order."""
    import pandas

    columns: dict[str, Any] = {
        "guessed": [classes[number] for number in guessed],
        "certainty": certainty.round(4),
    }
    if truth is not None:
        columns["shows"] = [classes[number] for number in truth]
    return pandas.DataFrame(columns).rename_axis("image")


def write(predictions: pandas.DataFrame, run_id: str) -> Path:
    """As a file of this run's own, and an artifact."""
    import mlflow

    FOLDER.mkdir(parents=True, exist_ok=True)
    file = FOLDER / f"{run_id}.csv"
    predictions.to_csv(file)
    mlflow.log_artifact(str(file))
    return file


def judge(guessed: np.ndarray, truth: np.ndarray, classes: list[str]) -> None:
    """How many were right, and what was taken for what."""
    import mlflow

    from lib import plots

    accuracy = float((guessed == truth).mean())
    mlflow.log_metric("accuracy", accuracy)
    mlflow.log_figure(plots.confusion_matrix(truth, guessed, classes), "plots/confusion_matrix.png")
    print(f"accuracy {accuracy:.3f}")


if __name__ == "__main__":
    main()
