"""A job's MLflow run: begun and ended, in a store that is made where there is none."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from pathlib import Path
from typing import Dict, List, Mapping, Sequence

from remote.agent.tracking import run_rows
from remote.errors import StoreError
from remote.files import is_absent
from remote.job import command_line
from remote.job.kinds import kind_of
from remote.job.paths import ARTIFACTS, STATE, STORE, JobPaths
from remote.job.spec import Job
from remote.job.status import FAILED, FINISHED, RUN_STATUS, STOPPED, JobStatus, LeasedGpu
from remote.tracking.store import is_present, is_store

#: What a command of the target's environment is typed behind.
ON_TARGET = "inv remote-run --gpus 0 --no-record -- "

#: Folders below the target that rsync is asked for by name.
PLAIN = re.compile(r"[A-Za-z0-9_.=,-][A-Za-z0-9_.=,/-]*\Z")

#: Characters of a path (PATH_MAX of Linux) at which a store is taken for none.
LONGEST = 4096


def store_of(root: Path) -> Path:
    """The target's own MLflow store."""
    return root / STORE


def store_of_job(paths: JobPaths) -> Path:
    """The store that holds a job's run: the target's, or its own, made where that was unusable."""
    return store_of(paths.root) if is_absent(paths.own_store) else paths.own_store


def begin_run(paths: JobPaths, job: Job, run_id: str) -> run_rows.RecordedRun:
    """Give the job, or one more attempt at it, an MLflow run that is scheduled."""
    return run_rows.begin(
        store_of_job(paths),
        experiment=job.experiment,
        run_id=run_id,
        tags={
            **tags(job, ()),
            "mlflow.runName": job.name,
            "mlflow.user": job.user,
            "mlflow.source.name": job.program,
            # Of a JOB, MLflow's UI shows the whole name, and of others what follows the last slash.
            **({} if job.source else {"mlflow.source.type": "JOB"}),
            **({"remote.command": job.command_line} if job.arguments else {}),
            **({"mlflow.parentRunId": job.parent_run} if job.sweep else {}),
        },
        params=_params(job),
        start_ms=int(time.time() * 1000),
        status="SCHEDULED",
        # Without a run of its own, a job is not refused for the experiment that it restores.
        restore="" if job.interpreter else ON_TARGET,
    )


def _params(job: Job) -> Dict[str, str]:
    return {name: str(value) for name, value in job.all_parameters.items()}


def start_run(paths: JobPaths, run_id: str) -> None:
    """Have a run that was scheduled run from now on."""
    now = int(time.time() * 1000)
    run_rows.update(store_of_job(paths), run_id, status="RUNNING", start_time=now)


def tags(job: Job, gpus: Sequence[LeasedGpu]) -> Dict[str, str]:
    """The tags that every run of a job carries, its own and those that its code starts."""
    values = {
        **job.tags,
        "remote.job": job.id,
        "remote.target": job.target,
        "remote.host": job.host,
        "remote.source": job.source,
        "remote.sweep": job.sweep,
        "mlflow.project.entryPoint": job.entry_point,
        "mlflow.source.type": kind_of(job).mlflow_source_type,
        "remote.gpus": ", ".join(gpu.name for gpu in gpus),
        "mlflow.source.git.commit": job.git.commit,
        "mlflow.source.git.branch": job.git.branch,
        "remote.git.dirty": str(job.git.dirty).lower() if job.git.commit else "",
    }
    return {name: value for name, value in values.items() if value}


def run_of(job: Job, status: JobStatus) -> str:
    """The id of the job's run, or of its last attempt's."""
    return status.mlflow_run or job.mlflow_run


def end_runs(paths: JobPaths, job: Job, status: JobStatus) -> None:
    """End the job's MLflow run, and those that its code left running, as the job's end says."""
    store, run = store_of_job(paths), run_of(job, status)
    run_status = RUN_STATUS[status.state]
    ended = int((status.ended or time.time()) * 1000)
    for path in map(paths.root.joinpath, noted_stores(paths)):
        with contextlib.suppress(StoreError, OSError):
            if path == store:
                continue
            if is_store(path):
                run_rows.close_all(path, job=paths.id, run_id=run, status=run_status, end_ms=ended)
            else:
                # A worker that begins has no time for what is seldom needed at its end.
                from remote.tracking.filestore import is_file_store, run_state

                if is_file_store(path):
                    run_state.close_all(path, job=paths.id, status=run_status, end_ms=ended)
    if not is_present(store):
        return
    own = run_rows.run_status(store, run)
    if own is not None:
        # Only now: a parameter that is there keeps the code from logging it in other words (1e-3).
        params = {**command_line.parameters(command_line.program_words(job)), **_params(job)}
        # What its program ended so itself has not finished, whatever its exit code is.
        keeps = own in (RUN_STATUS[FAILED], RUN_STATUS[STOPPED]) and status.state == FINISHED
        result = own if keeps else run_status
        # By a change, a pull knows that there may be more artifacts than when the end was first tried.
        ended += run_rows.end_time(store, run) == ended
        run_rows.update(store, run, account(status), params, status=result, end_time=ended)
    elif not kind_of(job).serves:
        return
    run_rows.close_all(store, job=paths.id, run_id=run, status=run_status, end_ms=ended)


def noted_stores(paths: JobPaths) -> List[str]:
    """The stores beside the target's own that a job's runs went to (remote_job_mlflow notes them):
    paths below the target where a pull can bring them, else absolute paths and addresses."""
    root, places = os.path.realpath(str(paths.root)) + "/", []
    text = "" if is_absent(paths.stores) else paths.stores.read_text("utf-8", "replace")
    for line in text.splitlines():
        # Whoever has the job's variables may write there.
        with contextlib.suppress(ValueError):
            place = json.loads(line)
            if isinstance(place, str) and len(place) < LONGEST and place.isprintable():
                path = os.path.normpath(place)
                name = path[len(root) :] if path.startswith(root) else place
                is_plain = PLAIN.match(name) or not Path(path).is_dir()
                places.append(name if is_plain else path)
    return list(dict.fromkeys(places))


def is_outside(place: str) -> bool:
    """Whether no pull brings a store of this name."""
    return place.startswith("/") or "://" in place


def account(status: JobStatus) -> Dict[str, str]:
    """What the post-mortem puts on the job's run: amounts of memory in MiB, time in seconds."""
    values = {
        "remote.exit_code": status.exit_code,
        "remote.reason": status.reason,
        "remote.cause": status.cause,
        "remote.seconds": None if status.seconds is None else round(status.seconds),
        "remote.peak_memory": round(status.peak_memory / 2**20),
        "remote.peak_gpu_memory": status.peak_gpu_memory if status.gpus else None,
        "remote.gpus": ", ".join(gpu.name for gpu in status.gpus),
        "remote.gpu_uuids": ", ".join(gpu.uuid for gpu in status.gpus),
        "remote.driver": status.driver,
        "remote.cuda": status.cuda,
        "remote.environment": status.environment,
        "remote.attempt": status.attempt if status.attempt > 1 else None,
    }
    return {name: str(value) for name, value in values.items() if value not in (None, "")}


def make_store(root: Path, python: Path, env: Mapping[str, str]) -> bool:
    """Have the environment's MLflow make a missing store; False where it has no MLflow.

    Raises StoreError where MLflow is there and fails, UnusableStore for what is in its place.
    """
    lock = root / STATE / "store.lock"
    return _create(store_of(root), root, python, env, lock)


def make_own_store(paths: JobPaths, python: Path, env: Mapping[str, str]) -> bool:
    """The same for a job that can't use the target's; a pull brings its runs from there too."""
    with open(str(paths.stores), "a") as stores:
        stores.write(json.dumps(str(paths.own_store)) + "\n")
    return _create(paths.own_store, paths.root, python, env, paths.folder / "store.lock")


def _create(store: Path, root: Path, python: Path, env: Mapping[str, str], lock: Path) -> bool:
    # Most jobs find a store.
    from remote.tracking.empty_store import create_store

    return create_store(store, root / ARTIFACTS, python=str(python), env=env, lock=lock)


def store_settings(paths: JobPaths) -> Dict[str, str]:
    """Where MLflow keeps its records and, for experiments made from now on, its artifacts.

    The second variable is MLflow's own (mlflow.store.tracking): without it a SQLite store puts
    artifacts below the working directory, which for a job is its snapshot.
    """
    return {
        "MLFLOW_TRACKING_URI": f"sqlite:///{store_of_job(paths)}",
        "_MLFLOW_SERVER_ARTIFACT_ROOT": str(paths.root / ARTIFACTS),
    }
