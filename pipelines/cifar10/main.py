"""The whole pipeline: each step is an MLproject of its own, and its run a child of this one."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
from common import arguments, places
from common.step import INTERRUPTED

from lib.extras import need

#: Figures of the last step that the whole pipeline's run shows too.
SHOWN = ("accuracy", "latency_p50_ms", "latency_p90_ms", "latency_p99_ms")


def main() -> None:
    args = arguments.of_main()
    need("torch", "torch", "tensorboard", "onnx", "onnxscript", "onnxruntime")
    places.enter_project()
    # The steps run `python`: have it be this one.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with mlflow.start_run(tags={"pipeline": "cifar10", "step": "main"}):
        evaluated = _all_steps(args)
        mlflow.log_metrics({name: evaluated.data.metrics[name] for name in SHOWN})


def _all_steps(args: argparse.Namespace) -> mlflow.entities.Run:
    """One step after the other, each with what those before have made; the last one's run."""
    run = _run_step("preprocess", _own(args, "preprocess"))
    data = run.data.tags["data_id"]
    images = f"runs:/{data}/downstream_directory"
    mlflow.set_tags({"data": run.data.tags["data"], "data_id": data})
    own = _own(args, "train")
    own["model_filename"] = args.building_model_filename
    run = _run_step("train", {**own, "upstream": images}, data)
    model = f"runs:/{run.info.run_id}/model"
    run = _run_step("building", {**_own(args, "building"), "model_directory": model}, data)
    server = f"runs:/{run.info.run_id}/server"
    given = {"upstream": server, "test_data_directory": images}
    return _run_step("evaluate", {**_own(args, "evaluate"), **given}, data)


def _own(args: argparse.Namespace, step: str) -> dict[str, Any]:
    """A step's arguments, by the names that it has for them."""
    start = f"{step}_"
    return {
        name[len(start) :]: value for name, value in vars(args).items() if name.startswith(start)
    }


def _run_step(step: str, parameters: Mapping[str, Any], data: str = "") -> mlflow.entities.Run:
    """Run one step; where it fails, the pipeline ends with its name and the ways to go on.

    The step's run is begun here, so that it is a child of this one and has its context's tags.
    """
    folder = os.path.relpath(places.PIPELINE / step)
    tags = {
        "mlflow.source.name": folder,
        "mlflow.source.type": "PROJECT",
        "mlflow.project.entryPoint": step,
    }
    with mlflow.start_run(nested=True, run_name=step, tags=tags) as run:
        mlflow.log_params(parameters)
        try:
            mlflow.projects.run(
                folder,
                entry_point=step,
                parameters=dict(parameters),
                experiment_id=run.info.experiment_id,
                run_id=run.info.run_id,
                env_manager="local",
            )
        except mlflow.exceptions.ExecutionException:
            sys.exit(_ways_on(step, folder, parameters, data))
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
    return mlflow.get_run(run.info.run_id)


def _ways_on(step: str, folder: str, parameters: Mapping[str, Any], data: str) -> str:
    given = [word for name, value in parameters.items() for word in ("-P", f"{name}={value}")]
    again = shlex.join(["mlflow", "run", folder, "--env-manager=local", *given])
    told = f"The step {step} failed; what it said stands above. It alone, once more:\n  {again}"
    if not data:
        return told
    return f"{told}\nAll, with the images that are there: -P preprocess_cached_data_id={data}"


if __name__ == "__main__":
    main()
