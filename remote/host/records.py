"""A job's MLflow run: begun and ended, in a store that is made where there is none."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, Mapping

from remote.errors import StoreError
from remote.files import locked, read_json
from remote.host import record
from remote.job import RUN_STATUS, STATE, JobPaths

STORE = "mlflow.db"
ARTIFACTS = "mlruns"


def store_of(root: Path) -> Path:
    """The target's own MLflow store."""
    return root / STORE


def begin_run(paths: JobPaths, job: Mapping[str, Any], start: float) -> record.RecordedRun:
    """Give the job its MLflow run, running since `start` (seconds since 1970)."""
    return record.begin(
        store_of(paths.root),
        artifact_root=paths.root / ARTIFACTS,
        experiment=job["experiment"],
        run_id=job["mlflow_run"],
        run_name=job["name"],
        user=job.get("user", ""),
        source_name=job["notebook"],
        tags=tags(job),
        params={name: str(value) for name, value in parameters(job).items()},
        start_ms=int(start * 1000),
    )


def tags(job: Mapping[str, Any]) -> Dict[str, str]:
    """The tags that every run of a job carries, its own and those that its code starts."""
    git = job.get("git") or {}
    found = {
        "remote.job": job["id"],
        "remote.target": job.get("target", ""),
        "remote.host": job.get("host", ""),
        "remote.notebook": job["notebook"],
        "mlflow.source.git.commit": git.get("commit", ""),
        "mlflow.source.git.branch": git.get("branch", ""),
        "remote.git.dirty": str(git["dirty"]).lower() if git else "",
    }
    return {name: value for name, value in found.items() if value}


def parameters(job: Mapping[str, Any]) -> Dict[str, Any]:
    """All parameters of the notebook: what was given, and the defaults of the others."""
    return {**job.get("defaults", {}), **job["parameters"]}


def end_run(paths: JobPaths, state: str) -> None:
    """Give the job's MLflow run, if it has one, the status that the job's end stands for."""
    job = read_json(paths.job) or {}
    store = store_of(paths.root)
    if job.get("mlflow_run") and record.is_store(store):
        status = RUN_STATUS[state]
        record.end(store, job["mlflow_run"], status=status, end_ms=int(time.time() * 1000))


def make_store(root: Path, python: Path, env: Mapping[str, str]) -> bool:
    """Have the environment's MLflow make a missing store; False where it has no MLflow.

    The store is made under a temporary name: another job, or a pull, must not meet half of one.
    Raises StoreError where MLflow is there and fails.
    """
    store = store_of(root)
    if record.is_store(store):
        return True
    with locked(root / STATE / "store.lock"):
        if record.is_store(store):
            return True
        with tempfile.TemporaryDirectory(dir=str(root / STATE), prefix="store-") as folder:
            made = Path(folder) / STORE
            done = _run_mlflow(python, made, {**env, **store_settings(root)})
            if done.returncode == NO_MLFLOW:
                return False
            if done.returncode or not record.is_store(made):
                raise StoreError("MLflow could not make its store.", _last_line(done.stderr))
            os.replace(str(made), str(store))
    return True


NO_MLFLOW = 77
_MAKE = """
import sys
try:
    import mlflow
except ModuleNotFoundError as error:
    sys.exit(77 if error.name == "mlflow" else str(error))
mlflow.MlflowClient(sys.argv[1]).search_experiments()
"""


def _run_mlflow(
    python: Path, store: Path, env: Mapping[str, str]
) -> "subprocess.CompletedProcess[bytes]":
    # A path in a SQLite address may not hold `?`; the working directory spares us the question.
    argv = [str(python), "-c", _MAKE, f"sqlite:///{store.name}"]
    return subprocess.run(
        argv, cwd=str(store.parent), env=dict(env), stdin=-3, stdout=-3, stderr=subprocess.PIPE
    )


def _last_line(text: bytes) -> str:
    return (text.decode("utf-8", "replace").strip().splitlines() or [""])[-1]


def store_settings(root: Path) -> Dict[str, str]:
    """Where MLflow keeps its records and, for experiments made from now on, its artifacts.

    The second variable is MLflow's own (mlflow.store.tracking): without it a SQLite store puts
    artifacts below the working directory, which for a job is its snapshot.
    """
    return {
        "MLFLOW_TRACKING_URI": f"sqlite:///{store_of(root)}",
        "_MLFLOW_SERVER_ARTIFACT_ROOT": str(root / ARTIFACTS),
    }
