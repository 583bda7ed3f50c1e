"""A job's MLflow run: begun and ended, in a store that is made where there is none."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import Any, Dict, Mapping, Sequence

from remote.agent.gpus import sources
from remote.agent.gpus.sources.base import Gpu
from remote.agent.tracking import child_runs, run_rows
from remote.job.paths import STATE, JobPaths
from remote.job.state import RUN_STATUS
from remote.tracking.create_store import create_store

STORE = "mlflow.db"
ARTIFACTS = "mlruns"


def store_of(root: Path) -> Path:
    """The target's own MLflow store."""
    return root / STORE


def begin_run(paths: JobPaths, job: Mapping[str, Any], run_id: str) -> run_rows.RecordedRun:
    """Give the job, or one more attempt at it, an MLflow run that is scheduled."""
    return run_rows.begin(
        store_of(paths.root),
        artifact_root=paths.root / ARTIFACTS,
        experiment=job["experiment"],
        run_id=run_id,
        run_name=job["name"],
        user=job.get("user", ""),
        source_name=job["source"] or command(job),
        tags=tags(job, {}),
        params={name: str(value) for name, value in parameters(job).items()},
        start_ms=int(time.time() * 1000),
        status="SCHEDULED",
    )


def start_run(paths: JobPaths, run_id: str) -> None:
    """Have a run that was scheduled run from now on."""
    run_rows.start(store_of(paths.root), run_id, start_ms=int(time.time() * 1000))


def command(job: Mapping[str, Any]) -> str:
    """What a job that is no file runs, as it would be typed."""
    return " ".join(shlex.quote(word) for word in job.get("arguments", ()))


def tags(job: Mapping[str, Any], status: Mapping[str, Any]) -> Dict[str, str]:
    """The tags that every run of a job carries, its own and those that its code starts."""
    git = job.get("git") or {}
    found = {
        **job.get("tags", {}),
        "remote.job": job["id"],
        "remote.target": job.get("target", ""),
        "remote.host": job.get("host", ""),
        "remote.source": job["source"],
        "mlflow.project.entryPoint": job.get("entry_point", ""),
        "mlflow.source.type": "PROJECT" if job["kind"] == "mlproject" else "",
        "remote.gpus": ", ".join(gpu["name"] for gpu in status.get("gpus", ())),
        "mlflow.source.git.commit": git.get("commit", ""),
        "mlflow.source.git.branch": git.get("branch", ""),
        "remote.git.dirty": str(git["dirty"]).lower() if git else "",
    }
    return {name: value for name, value in found.items() if value}


def parameters(job: Mapping[str, Any]) -> Dict[str, Any]:
    """All parameters of the job: what was given, and the defaults of the others."""
    return {**job.get("defaults", {}), **job.get("parameters", {})}


def run_of(job: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    """The id of the job's run, or of its last attempt's."""
    return str(status.get("mlflow_run") or job.get("mlflow_run", ""))


def end_runs(
    paths: JobPaths, job: Mapping[str, Any], state: str, status: Mapping[str, Any]
) -> None:
    """End the job's MLflow run, and those that its code left running, as the job's end says."""
    store, run = store_of(paths.root), run_of(job, status)
    if not run_rows.is_store(store):
        return
    ended = int(time.time() * 1000)
    if run_rows.run_status(store, run) is not None:
        run_rows.set_tags(store, run, account(status))
        run_rows.end(store, run, status=RUN_STATUS[state], end_ms=ended)
    elif not job.get("service"):
        return
    child_runs.close_all(store, job=paths.id, run_id=run, status=RUN_STATUS[state], end_ms=ended)


def account(status: Mapping[str, Any]) -> Dict[str, str]:
    """What the post-mortem puts on the job's run: amounts of memory in MiB, time in seconds."""
    gpus = status.get("gpus", ())
    found = {
        "remote.exit_code": status.get("exit_code"),
        "remote.reason": status.get("reason"),
        "remote.cause": status.get("cause"),
        "remote.seconds": _rounded(status.get("seconds")),
        "remote.peak_memory": _rounded(status.get("peak_memory", 0) / 2**20),
        "remote.peak_gpu_memory": status.get("peak_gpu_memory") if gpus else None,
        "remote.gpus": ", ".join(gpu["name"] for gpu in gpus),
        "remote.gpu_uuids": ", ".join(gpu["uuid"] for gpu in gpus),
        "remote.driver": status.get("driver"),
        "remote.cuda": status.get("cuda"),
        "remote.environment": status.get("environment"),
        "remote.attempt": status["attempt"] if status.get("attempt", 1) > 1 else None,
    }
    return {name: str(value) for name, value in found.items() if value not in (None, "", [])}


def _rounded(number: Any) -> Any:
    return None if number is None else round(number)


def gpu_facts(gpus: Sequence[Gpu]) -> Dict[str, str]:
    """The versions of the driver and of CUDA that the GPUs run with."""
    return {"driver": gpus[0].driver, "cuda": sources.runtime_version()} if gpus else {}


def make_store(root: Path, python: Path, env: Mapping[str, str]) -> bool:
    """Have the environment's MLflow make a missing store; False where it has no MLflow.

    Raises StoreError where MLflow is there and fails.
    """
    return create_store(
        store_of(root),
        root / ARTIFACTS,
        python=str(python),
        env=env,
        lock=root / STATE / "store.lock",
        folder=root / STATE,
    )


def store_settings(root: Path) -> Dict[str, str]:
    """Where MLflow keeps its records and, for experiments made from now on, its artifacts.

    The second variable is MLflow's own (mlflow.store.tracking): without it a SQLite store puts
    artifacts below the working directory, which for a job is its snapshot.
    """
    return {
        "MLFLOW_TRACKING_URI": f"sqlite:///{store_of(root)}",
        "_MLFLOW_SERVER_ARTIFACT_ROOT": str(root / ARTIFACTS),
    }
