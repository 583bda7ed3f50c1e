"""Make what serves a model: a folder, and an image where a Docker engine answers."""

from __future__ import annotations

import argparse
from pathlib import Path

import mlflow
from building import folder as folders
from building import image
from common import arguments, places
from common.step import running

from lib.extras import need

ARTIFACTS = "server"


def main() -> None:
    args = arguments.of_step("building")
    need("torch", "onnxruntime")
    places.enter_project()
    with running("building") as run:
        model = places.fetched(args.model_directory)
        with places.work_folder(args.downstream, run) as folder:
            data = folders.build(model, args.model_filename, args.entrypoint_path, folder)
            mlflow.set_tag("data", data)
            if args.dockerfile_path:
                folders.add_dockerfile(args.dockerfile_path, folder)
            mlflow.log_artifacts(str(folder), ARTIFACTS)
            server = mlflow.get_artifact_uri(ARTIFACTS)
            print(f"building: {server} (sh {folders.ENTRYPOINT} starts it)", flush=True)
            mlflow.set_tag("dockerimage", _image(args, run, folder) or "none")


def _image(args: argparse.Namespace, run: str, folder: Path) -> str:
    """The name of the image; empty where there is none."""
    name = args.dockerimage or image.default_name(run)
    if not args.dockerfile_path:
        return ""
    if not image.engine():
        print(f"building: {image.NO_ENGINE}, so there is the folder and no image.", flush=True)
        return ""
    image.build(folder, name)
    print(f"building: docker run --rm -p 127.0.0.1:8000:8000 {name}", flush=True)
    return name


if __name__ == "__main__":
    main()
