"""The MLflow run that all is put into, ended as it went."""

from __future__ import annotations

import json
import os
import shlex
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .items import SaveError

URI = "MLFLOW_TRACKING_URI"
#: Where a browser reaches the server that URI names, in the lab's containers.
UI = "LAB_MLFLOW_UI"
#: Where MLflow puts the artifacts of experiments that it makes in a database of this machine.
ARTIFACTS = "_MLFLOW_SERVER_ARTIFACT_ROOT"


@dataclass(frozen=True)
class Wanted:
    """What a run is to be."""

    name: str | None
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]


def project() -> Path:
    """The root of the project that this package belongs to."""
    own = Path(__file__).resolve().parents
    return next((folder for folder in own if (folder / "pyproject.toml").is_file()), Path.cwd())


def own_store() -> str:
    """The address of the project's own store, which `inv ui` shows."""
    return f"sqlite:///{project() / 'mlflow.db'}"


class Store:
    """An MLflow tracking store: what was asked for, else the environment's, else the project's."""

    def __init__(self, uri: str | None) -> None:
        self.uri = str(uri or os.environ.get(URI) or own_store())
        with _artifacts_in(project() / "mlruns"):
            self.client = _client(self.uri)

    def experiment(self, name: str) -> Any:
        """The experiment of that name, made where there is none; raises SaveError."""
        found = self.client.get_experiment_by_name(name) or self._new_experiment(name)
        if found.lifecycle_stage != "active":
            raise SaveError(
                f"The experiment {name!r} is deleted."
                f" Restore it (mlflow experiments restore -x {found.experiment_id}),"
                " or choose another name."
            )
        return found

    def _new_experiment(self, name: str) -> Any:
        from mlflow.exceptions import MlflowException

        try:
            self.client.create_experiment(name)
        except MlflowException as error:
            # Another run may have made it meanwhile.
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        return self.client.get_experiment_by_name(name)

    def open_run(self) -> Any:
        """The run that user code has open in this store; None without one."""
        import mlflow

        active = mlflow.active_run() if mlflow.get_tracking_uri() == self.uri else None
        return self.client.get_run(active.info.run_id) if active else None

    def address(self, experiment_id: str, run_id: str) -> str:
        """Where a browser finds a run, or what to type to see it."""
        if self.uri.startswith(("http://", "https://")):
            # In the lab's containers the server has a name that no browser knows.
            is_lab = self.uri == os.environ.get(URI) and UI in os.environ
            server = os.environ[UI] if is_lab else self.uri.rstrip("/")
            return f"{server}/#/experiments/{experiment_id}/runs/{run_id}"
        if self.uri not in (own_store(), os.environ.get(URI)):
            return f"mlflow ui --backend-store-uri {shlex.quote(self.uri)}"
        target = json.loads(os.environ.get("REMOTE_JOB_TAGS", "{}")).get("remote.target", "")
        # A job of this machine has its bare name there.
        return "make sync-pull, then inv ui" if set("/:") & set(target) else "inv ui"


@contextmanager
def _artifacts_in(folder: Path) -> Iterator[None]:
    """A notebook's working directory is its own folder, where no artifacts should lie."""
    before = os.environ.get(ARTIFACTS)
    os.environ.setdefault(ARTIFACTS, str(folder))
    try:
        yield
    finally:
        if before is None:
            del os.environ[ARTIFACTS]


def _client(uri: str) -> Any:
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    # Only now is the store made.
    client.search_experiments(max_results=1)
    return client


@contextmanager
def recording(store: Store, experiment: Any, wanted: Wanted) -> Iterator[str]:
    """A run to log to, with all of `wanted`: the one that is open, or one of its own."""
    before = store.open_run()
    if before and _fits(before, experiment, wanted):
        _write(store, before.info.run_id, wanted)
        # Whoever opened it ends it.
        yield before.info.run_id
        return
    run_id = _new(store, experiment, wanted, below=before)
    try:
        _write(store, run_id, wanted)
        yield run_id
    except BaseException as error:
        status = "FAILED" if isinstance(error, Exception) else "KILLED"
        store.client.set_terminated(run_id, status)
        raise
    store.client.set_terminated(run_id)


def _fits(run: Any, experiment: Any, wanted: Wanted) -> bool:
    """Whether a run can take all of it: MLflow gives a parameter no second value."""
    logged = run.data.params
    same = all(logged.get(name, value) == value for name, value in wanted.params.items())
    return run.info.experiment_id == experiment.experiment_id and same


def _new(store: Store, experiment: Any, wanted: Wanted, *, below: Any) -> str:
    import mlflow
    from mlflow.tracking.context.registry import resolve_tags

    _check_served(store, experiment)
    number, name = experiment.experiment_id, wanted.name
    if not below and mlflow.get_tracking_uri() == store.uri and not mlflow.active_run():
        # In a job, the first such run is the job's own.
        made = mlflow.start_run(experiment_id=number, run_name=name, tags=dict(wanted.tags))
        mlflow.end_run()
        return str(made.info.run_id)
    parent = {"mlflow.parentRunId": below.info.run_id} if below else {}
    tags = resolve_tags({**parent, **wanted.tags})
    return str(store.client.create_run(number, tags=tags, run_name=name).info.run_id)


def _check_served(store: Store, experiment: Any) -> None:
    """What was made in the UI keeps its artifacts with the UI's server."""
    served = experiment.artifact_location.startswith("mlflow-artifacts:")
    if served and not store.uri.startswith(("http://", "https://")):
        raise SaveError(
            f"The experiment {experiment.name!r} was made in MLflow's UI, which keeps its artifacts."
            " Choose another name, or, while the UI runs, mlf_uri='http://127.0.0.1:5000'."
        )


def _write(store: Store, run_id: str, wanted: Wanted) -> None:
    from mlflow.entities import Metric, Param, RunTag

    now = int(time.time() * 1000)
    name = {"mlflow.runName": wanted.name} if wanted.name else {}
    store.client.log_batch(
        run_id,
        metrics=[Metric(key, value, now, 0) for key, value in wanted.metrics.items()],
        params=[Param(key, value) for key, value in wanted.params.items()],
        tags=[RunTag(key, value) for key, value in {**wanted.tags, **name}.items()],
    )
