"""Prepare the images, or check those that a former run has prepared."""

from __future__ import annotations

import argparse

import mlflow
from common import arguments, places, prepared
from common.step import StepError, running
from preprocess import images

ARTIFACTS = "downstream_directory"


def main() -> None:
    args = arguments.of_step("preprocess")
    places.enter_project()
    with running("preprocess") as run:
        owner = args.cached_data_id and _owner(args.cached_data_id)
        note = _checked(owner) if owner else _made(args, run)
        mlflow.set_tags({"data": note.data, "data_id": owner or run})
        mlflow.log_metrics({f"{name}_images": count for name, count in note.images.items()})
        counts = ", ".join(f"{count} for {name}" for name, count in note.images.items())
        print(f"preprocess: {note.data}, {counts} (cached data id: {owner or run})")


def _made(args: argparse.Namespace, run: str) -> prepared.Note:
    data, loaded = images.load(args.data)
    with places.work_folder(args.downstream, run) as folder:
        note = prepared.write(folder, data, loaded.classes, images.parts(loaded, args.limit))
        mlflow.log_artifacts(str(folder), ARTIFACTS)
    return note


def _owner(cached: str) -> str:
    """The run whose artifacts the images are: the named one, or the one that it took them from."""
    run = places.find_run(cached)
    if run.data.tags.get("step") != "preprocess" or run.info.status != "FINISHED":
        raise StepError(f"The run {cached} is no preprocess run that has finished.")
    return run.data.tags["data_id"]


def _checked(owner: str) -> prepared.Note:
    return prepared.check(places.fetched(f"runs:/{owner}/{ARTIFACTS}"))


if __name__ == "__main__":
    main()
