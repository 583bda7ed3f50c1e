"""Docker images of servers.

    python -m building.image

makes one of the newest server in the store (`make d_build`): one that came from a target, say.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import mlflow
from common import places
from common.step import StepError

NO_ENGINE = "No Docker engine answers here"
PATIENCE = 20.0  # seconds until an engine must have answered


def engine() -> bool:
    """Whether a Docker engine answers."""
    argv = ["docker", "version", "--format", "{{.Server.Version}}"]
    try:
        done = subprocess.run(argv, capture_output=True, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def default_name(run: str) -> str:
    """What the image of a building run is called."""
    return f"cifar10:{run[:8]}"


def build(folder: Path, name: str) -> None:
    """Make an image of a server's folder; raises StepError where Docker can't."""
    recipe = ["-f", str(folder / "Dockerfile"), str(folder)]
    if subprocess.run(["docker", "build", *_settings(), "-t", name, *recipe]).returncode:
        raise StepError(
            f"docker build could not make {name}; what it said stands above.\n"
            "The folder alone is made with an empty dockerfile_path."
        )


def _settings() -> list[str]:
    """Options for what the environment asks for; containers/ has the same names for it."""
    base, network = os.environ.get("BASE_IMAGE"), os.environ.get("LAB_BUILD_NETWORK")
    given = ["--build-arg", f"BASE_IMAGE={base}"] if base else []
    return given + (["--network", network] if network else [])


def newest() -> tuple[str, Path]:
    """(run, folder) of the server that was built last; raises StepError."""
    client = mlflow.MlflowClient()
    built = client.search_runs(
        [each.experiment_id for each in client.search_experiments()],
        "tags.pipeline = 'cifar10' and tags.step = 'building' and attributes.status = 'FINISHED'",
        max_results=1,
        order_by=["attributes.start_time DESC"],
    )
    if not built:
        raise StepError("No server has been built yet: make train does it.")
    run = built[0].info.run_id
    return run, places.fetched(f"runs:/{run}/server")


def main() -> None:
    places.enter_project()
    try:
        if not engine():
            raise StepError(f"{NO_ENGINE} (docker version tells more).")
        run, folder = newest()
        build(folder, default_name(run))
    except StepError as error:
        sys.exit(str(error))
    print(f"docker run --rm -p 127.0.0.1:8000:8000 {default_name(run)}")


if __name__ == "__main__":
    main()
