"""Virtual environments with other MLflows or another Hydra than the project's, kept between runs."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from remote.files import locked
from remote.operations.jobs.bootstrap import own_uv
from tests.conftest import ROOT
from tests.research.environment import run

FOLDER = ROOT / ".demo" / "real"
LIMIT = 600.0  # seconds for one of the steps

OLD = "2.16.2"
NEW = "3.18.0"
OURS = "3.17.2"

#: The last of each minor that isn't one of these two.
OTHERS = (
    "2.9.2 2.10.2 2.11.5 2.12.2 2.13.3 2.14.3 2.15.1 2.16.2 2.17.2 2.18.0 2.19.0 2.20.4"
    " 2.21.3 2.22.5 3.0.1 3.1.4 3.2.0 3.3.2 3.4.0 3.5.1 3.6.0 3.7.0"
    " 3.8.1 3.9.0 3.10.1 3.11.1 3.12.0 3.13.0 3.14.0 3.15.2 3.16.1"
).split()

#: What MLflow's SQL store needs beside the package without models and server.
SQL = ("sqlalchemy<2.1", "alembic", "sqlparse", "numpy", "pandas", "setuptools<81")


def minor_of(version: str) -> str:
    """3.16 of 3.16.1."""
    return version.rpartition(".")[0]


#: From the oldest on.
VERSIONS = (*OTHERS, OURS, NEW)
MINORS = tuple(map(minor_of, VERSIONS))


def _bound(version: str) -> str:
    """Old MLflows name no bound for what came after them."""
    if version.startswith("2."):
        return "opentelemetry-sdk<1.28"
    return (
        "opentelemetry-sdk<1.30"
        if minor_of(version) in ("3.0", "3.1", "3.2", "3.3")
        else "opentelemetry-sdk"
    )


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
    # What a store needs of MLflow, without its models and its server.
    **{
        f"minor-{minor_of(version)}": (
            ("venv",),
            ("install", f"mlflow-skinny=={version}", *SQL, _bound(version)),
        )
        for version in OTHERS
    },
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
