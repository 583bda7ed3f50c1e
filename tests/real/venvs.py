"""Virtual environments with other MLflows or another Hydra than the project's, kept between runs."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from remote.files import locked
from remote.operations.bootstrap import own_uv
from tests.conftest import ROOT
from tests.research.environment import run

FOLDER = ROOT / ".demo" / "real"
LIMIT = 180.0  # seconds for one of the steps

OLD = "2.16.2"
NEW = "3.18.0"
OURS = "3.17.2"


def python_with(name: str) -> Path:
    """The interpreter of one of ENVIRONMENTS, made on first use.

    Raises environment.Missing.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    folder, steps = FOLDER / name, ENVIRONMENTS[name]
    ready = folder / ".ready"
    with locked(FOLDER / f"{name}.lock"):
        if not ready.is_file() or ready.read_text() != repr(steps):
            shutil.rmtree(folder, ignore_errors=True)
            for step in steps:
                run(*_argv(folder, *step), limit=LIMIT)
            ready.write_text(repr(steps))
    return folder / "bin" / "python"


Step = tuple[str, ...]

ENVIRONMENTS: dict[str, tuple[Step, ...]] = {
    # 2.16.2 names no bounds for what came after it.
    f"mlflow-{OLD}": (
        ("venv",),
        (
            "install",
            f"mlflow=={OLD}",
            "setuptools<81",
            "sqlalchemy<2.1",
            "opentelemetry-sdk<1.28",
        ),
    ),
    # The whole of MLflow is in the one package; its two halves of 3.18 aren't to be had everywhere.
    f"mlflow-{NEW}": (
        ("venv",),
        ("install", f"mlflow=={OURS}"),
        ("uninstall", "mlflow", "mlflow-skinny", "mlflow-tracing"),
        ("install", "--no-deps", f"mlflow=={NEW}"),
    ),
    # Its sweeper pins Optuna 2.
    "hydra-1.3": (("venv",), ("install", "hydra-core==1.3.2", "hydra-optuna-sweeper==1.2.0")),
}


def _argv(folder: Path, verb: str, *words: str) -> list[str]:
    uv, python = str(own_uv()), str(folder / "bin/python")
    if verb == "venv":
        return [uv, verb, "--quiet", "--no-project", "--python", sys.executable, str(folder)]
    return [uv, "pip", verb, "--quiet", "--python", python, *words]
