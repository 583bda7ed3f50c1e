"""MLflow inside a job: the job's run is taken by its program, every other run is its child.

MLflow finds this module by the entry points of the agent's zip (remote.rpc.bundle), in every Python
process of a job. No variable that MLflow itself acts upon names the job's run: all processes that a
program starts would go on with it, and one that chooses an experiment would fail.

It imports nothing of the toolkit, since a project may have a package called `remote` too, and
MLflow only when that is there already.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import threading
from pathlib import Path
from typing import Any, Dict, List, Optional, Set
from urllib.parse import unquote, urlsplit

PARENT = "mlflow.parentRunId"

#: A run of before that a program of this job goes on with.
RESUMED = "remote.resumed_by"

#: What the job's run says of its source itself, and better than its process can tell.
SOURCE = ("mlflow.user", "mlflow.source.", "mlflow.runName")

_SQLITE = re.compile(r"sqlite(?:\+\w+)?:///([^?]+)")

_lock = threading.Lock()
_noted: Set[str] = set()


class JobContext:
    """The job's tags on every run that `mlflow.start_run` makes, in whatever store."""

    def __init__(self) -> None:
        # Before MLflow has made a store.
        self.sees_stores = "REMOTE_JOB_TAGS" in os.environ and _see_stores()

    def in_context(self) -> bool:
        """Whether this process belongs to a job."""
        return "REMOTE_JOB_TAGS" in os.environ

    def tags(self) -> Dict[str, str]:
        """The tags of the job, and the parent where the store can't be had to add it."""
        return {**_job_tags(), **({} if self.sees_stores else _parent())}


class JobExperiment:
    """The project's experiment for what chooses none, in the job's store."""

    def in_context(self) -> bool:
        """Whether this process logs into the job's store."""
        from mlflow import get_tracking_uri

        return bool(os.environ.get("REMOTE_JOB_EXPERIMENT")) and _is_own(get_tracking_uri())

    def get_experiment_id(self) -> str:
        """Its id; that of MLflow's own default where it was deleted meanwhile."""
        from mlflow import MlflowClient

        client, name = MlflowClient(), os.environ["REMOTE_JOB_EXPERIMENT"]
        experiment = client.get_experiment_by_name(name)
        if experiment is None:
            return str(client.create_experiment(name))
        return str(experiment.experiment_id) if experiment.lifecycle_stage == "active" else "0"


def _job_tags() -> Dict[str, str]:
    tags: Dict[str, str] = json.loads(os.environ.get("REMOTE_JOB_TAGS", "{}"))
    return tags


def _parent() -> Dict[str, str]:
    run = os.environ.get("REMOTE_JOB_RUN")
    return {PARENT: run} if run else {}


def _take_offer() -> Optional[str]:
    """The run that this process may go on with, once; a process that it starts may not."""
    with _lock:
        process, _, run = os.environ.get("REMOTE_JOB_OFFER", "").partition(" ")
        if process != str(os.getpid()):
            return None
        del os.environ["REMOTE_JOB_OFFER"]
        return run or None


def _see_stores() -> bool:
    """Have each store that MLflow makes handed to JobRuns; False where this MLflow can't."""
    try:
        from mlflow.tracking._tracking_service.registry import TrackingStoreRegistry

        builder_of = TrackingStoreRegistry.get_store_builder
    except (ImportError, AttributeError):
        return False

    def get_store_builder(self: Any, store_uri: str) -> Any:
        build = builder_of(self, store_uri)
        return lambda *args, **options: JobRuns(build(*args, **options), store_uri).store

    TrackingStoreRegistry.get_store_builder = get_store_builder
    return True


class JobRuns:
    """How a job's runs are made in a store: with its tags, and in the job's own one below its run."""

    def __init__(self, store: Any, uri: str) -> None:
        self.store, self.uri = store, uri
        self.is_own = _is_own(uri)
        self.make, self.change = store.create_run, store.update_run_info
        store.create_run, store.update_run_info = self.create_run, self.update_run_info

    def create_run(
        self,
        experiment_id: str,
        user_id: str,
        start_time: int,
        tags: List[Any],
        run_name: Optional[str],
        **more: Any,
    ) -> Any:
        """The job's run where the program takes it now, else a run of its own."""
        from mlflow.entities import RunTag

        given = {tag.key: tag.value for tag in tags or ()}
        if not self.is_own:
            _note(self.uri)
        elif PARENT not in given and _called_by_start_run():
            run = self._offered(experiment_id)
            if run is not None:
                return self._go_on(run, given, run_name)
        added = {**_job_tags(), **(_parent() if self.is_own else {})}
        tags = [*(tags or ()), *(RunTag(*tag) for tag in added.items() if tag[0] not in given)]
        return self.make(
            experiment_id=experiment_id,
            user_id=user_id,
            start_time=start_time,
            tags=tags,
            run_name=run_name,
            **more,
        )

    def update_run_info(self, run_id: str, run_status: Any, *rest: Any, **more: Any) -> Any:
        """As MLflow does; a run that goes on is marked, to be ended with the job."""
        from mlflow.entities import RunStatus, RunTag
        from mlflow.exceptions import MlflowException

        result = self.change(run_id, run_status, *rest, **more)
        if run_status == RunStatus.RUNNING:
            if not self.is_own:
                _note(self.uri)
            with contextlib.suppress(MlflowException):
                self.store.set_tag(run_id, RunTag(RESUMED, os.environ.get("REMOTE_JOB_ID", "")))
        return result

    def _offered(self, experiment_id: str) -> Optional[Any]:
        """The run that this process may take, in the experiment that it chose."""
        from mlflow.exceptions import MlflowException

        run_id = _take_offer()
        try:
            run = self.store.get_run(run_id) if run_id else None
        except MlflowException:
            return None
        if run is None or run.info.lifecycle_stage != "active":
            return None
        same = str(run.info.experiment_id) == str(experiment_id)
        return run if same or self._move(run, str(experiment_id)) else None

    def _move(self, run: Any, experiment_id: str) -> bool:
        """Move a run that has no artifacts yet; False where its new ones lie in no folder."""
        from mlflow.store.tracking.dbmodels.models import SqlRun

        experiment = self.store.get_experiment(experiment_id)
        location = _folder(experiment.artifact_location)
        if location is None or experiment.lifecycle_stage != "active":
            return False
        artifacts = os.path.join(location, run.info.run_id, "artifacts")
        Path(artifacts).mkdir(parents=True, exist_ok=True)
        with self.store.ManagedSessionMaker() as session:
            row = session.query(SqlRun).filter(SqlRun.run_uuid == run.info.run_id)
            row.update({"experiment_id": int(experiment_id), "artifact_uri": artifacts})
        with contextlib.suppress(OSError):
            os.removedirs(run.info.artifact_uri)
        return True

    def _go_on(self, run: Any, given: Dict[str, str], run_name: Optional[str]) -> Any:
        from mlflow.entities import RunStatus, RunTag
        from mlflow.store.tracking.dbmodels.models import SqlParam

        run_id = run.info.run_id
        with self.store.ManagedSessionMaker() as session:
            # MLflow gives a parameter no second value: what the program logs counts, and the
            # worker adds the others again at the end.
            session.query(SqlParam).filter(SqlParam.run_uuid == run_id).delete()
        self.change(run_id, RunStatus.RUNNING, None, run_name or None)
        tags = [
            RunTag(key, value)
            for key, value in given.items()
            if not (key in run.data.tags and key.startswith(SOURCE))
        ]
        self.store.log_batch(run_id, [], [], tags)
        return self.store.get_run(run_id)


def _called_by_start_run() -> bool:
    """Only `mlflow.start_run` goes on with a run; a client's `create_run` always makes one."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "start_run" and frame.f_globals.get("__name__") == (
            "mlflow.tracking.fluent"
        ):
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


def _is_own(uri: str) -> bool:
    """Whether an address is that of the job's store, however it is spelled."""
    own, match = os.environ.get("REMOTE_JOB_STORE"), _SQLITE.match(uri)
    if not own or not match:
        return False
    return os.path.realpath(match[1]) == os.path.realpath(own)


def _folder(uri: str) -> Optional[str]:
    """The path of a local address; None for one of another machine or kind."""
    match, url = _SQLITE.match(uri), urlsplit(uri)
    if match:
        return match[1]
    if url.scheme == "file":
        return unquote(url.path)
    return None if url.scheme else uri


def _note(uri: str) -> None:
    """Write down, for the worker and the pull, that runs go into a store that isn't the job's."""
    path, url = _folder(uri), urlsplit(uri)
    # Without the password that may stand in it.
    place = f"{url.scheme}://{url.hostname or ''}" if path is None else os.path.realpath(path)
    if place not in _noted and "REMOTE_JOB_STORES" in os.environ:
        _noted.add(place)
        with contextlib.suppress(OSError), open(os.environ["REMOTE_JOB_STORES"], "a") as file:
            file.write(json.dumps(place) + "\n")
