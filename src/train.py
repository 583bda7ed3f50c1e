"""Run one of the tasks of src/lib/tasks/, and record it in MLflow."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from typing import Any

from lib.settings import ROOT, Settings, SettingsError, pairs, typed
from lib.task import Task, all_tasks, task_called

#: The tag that tells the runs of an experiment apart.
TASK = "task"


def main() -> None:
    words = parser().parse_args()
    # Data and records lie in the project, wherever this was typed.
    os.chdir(ROOT)
    try:
        if words.list:
            print_tasks()
        else:
            task = task_called(words.task).with_changes(typed(words.set))
            train(task, tags(words.tag))
    except SettingsError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("Interrupted.")


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    what = found.add_mutually_exclusive_group(required=True)
    what.add_argument("--task", metavar="NAME", help="such as Digits_B")
    what.add_argument("--list", action="store_true", help="show all tasks")
    for flag, about in (("--set", "give a parameter another value"), ("--tag", "tag the run")):
        more = {"metavar": "NAME=VALUE", "action": "append", "default": []}
        found.add_argument(flag, help=f"{about}; may come again", **more)
    return found


def print_tasks() -> None:
    for name, task in all_tasks().items():
        print(f"{name:12} {task.experiment:12} {task.summary()}")


def tags(words: list[str]) -> dict[str, str]:
    found = pairs("--tag", words)
    if TASK in found:
        raise SettingsError(f"The tag {TASK!r} is the task's name. Choose another one.")
    return found


def train(task: Task, tags: Mapping[str, str]) -> None:
    """Nothing is recorded of a task whose data can't be had."""
    from lib.datasets import Unreachable

    try:
        data = task.fetch_data()
    except Unreachable as error:
        sys.exit(str(error))
    record(task, data, tags)


def record(task: Task, data: Any, tags: Mapping[str, str]) -> None:
    from lib.recording import Unrecorded, recorded

    try:
        with recorded(task.experiment, task.name, tags={**tags, TASK: task.name}) as run:
            log(task.settings)
            task.run(task.preprocess(data))
    except Unrecorded as error:
        sys.exit(str(error))
    print(f"{task.experiment}, {task.name}: run {run.info.run_id}")


def log(settings: Settings) -> None:
    """The files of config/ as they were read, and what of them was effective."""
    import mlflow

    mlflow.log_params(dict(settings.parameters))
    for name, text in {**settings.files, "effective.yaml": settings.effective()}.items():
        mlflow.log_text(text, f"config/{name}")


if __name__ == "__main__":
    main()
