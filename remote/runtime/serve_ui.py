"""MLflow's UI on the target's own records, on a socket: it has no log-in either."""

from __future__ import annotations

import importlib.util
import os
import shlex
import sys
from pathlib import Path

from remote.job.paths import JobPaths
from remote.job.spec import Job


def path(job: Job) -> str:
    """The page that a browser opens."""
    return "/"


def serve(paths: JobPaths, job: Job, private: Path) -> None:
    """Become `mlflow server`; raises ModuleNotFoundError where the environment lacks it."""
    for name in ("mlflow", "uvicorn"):
        if importlib.util.find_spec(name) is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    # Eight processes more, of which looking at records needs none.
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    argv = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--no-serve-artifacts"]
    argv += ["--backend-store-uri", os.environ["MLFLOW_TRACKING_URI"]]
    argv += ["--default-artifact-root", str(paths.root / "mlruns")]
    argv += ["--uvicorn-opts", f"--uds {shlex.quote(str(private / 'socket'))} --log-level warning"]
    os.execv(sys.executable, argv)
