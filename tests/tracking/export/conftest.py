"""A real MLflow server for the whole session; what is exported lies in real stores."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from remote.tracking.export import ExportOrder, ExportSummary, export
from scripts.sshd import free_port
from tests.tracking.merge.conftest import Project
from tests.waiting import until_it_answers


class Laptop:
    """A project with a store, whose runs are exported to the server."""

    def __init__(self, folder: Path, template: Path, address: str) -> None:
        self.project, self.address = Project(folder, template), address
        self.record = folder / ".remote/exports/server"
        self.settings: dict[str, str] = {}
        # Experiments of other tests are on the server too.
        self.name = f"exp {folder}"
        self.experiment = self.project.experiment(self.name)

    @property
    def client(self) -> Any:
        return self.project.client

    @property
    def server(self) -> Any:
        from mlflow import MlflowClient

        return MlflowClient(self.address)

    @property
    def order(self) -> ExportOrder:
        """Everything that the store has."""
        query = "SELECT {} FROM {} WHERE experiment_id != 0"
        ids = {
            kind: [row[0] for row in self.project.sql(query.format(column, table))]
            for kind, column, table in (
                ("run", "run_uuid", "runs"),
                ("model", "model_id", "logged_models"),
            )
        }
        return ExportOrder(
            store=self.project.store,
            root=self.project.root,
            record=self.record,
            address=self.address,
            settings=self.settings,
            ids=ids,
        )

    def export(self) -> ExportSummary | None:
        return export(self.order)

    def lose_record(self) -> None:
        shutil.rmtree(self.record)

    def log(self, run: str, name: str, content: bytes) -> Path:
        """Write an artifact of a run."""
        file = self.project.mlruns / self.experiment / run / "artifacts" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return file

    def runs(self, view: int = 3) -> list[Any]:
        """Those of the experiment on the server; view 1: active, 2: deleted, 3: all."""
        found = self.server.get_experiment_by_name(self.name)
        return list(self.server.search_runs([found.experiment_id], run_view_type=view))

    def run_of(self, source: str) -> Any:
        """The only run on the server that came from this one, with its inputs and outputs."""
        (found,) = (run for run in self.runs() if run.data.tags["remote.source_run"] == source)
        return self.server.get_run(found.info.run_id)

    def history(self, source: str, key: str = "loss") -> list[tuple[int, float]]:
        run_id = self.run_of(source).info.run_id
        points = self.server.get_metric_history(run_id, key)
        return sorted((point.step, point.value) for point in points)

    def artifact(self, source: str, name: str, folder: Path) -> bytes:
        """What the server has of an artifact."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        run_id = self.run_of(source).info.run_id
        return Path(self.server.download_artifacts(run_id, name, str(folder))).read_bytes()


class Killed(BaseException):
    """The export is killed here."""


@pytest.fixture
def requests_sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The requests from now on that may change something on the server."""
    sent: list[str] = []
    watch_requests(monkeypatch, lambda method, path, send: (sent.append(path), send())[1])
    return sent


def watch_requests(
    monkeypatch: pytest.MonkeyPatch, watch: Callable[[str, str, Callable[[], Any]], Any]
) -> None:
    """Have `watch(method, path, send)` stand between MLflow's client and each writing request."""
    import requests

    request = requests.Session.request

    def watched(self: Any, method: str, url: str, *args: Any, **rest: Any) -> Any:
        if method == "GET" or url.endswith("/search"):
            return request(self, method, url, *args, **rest)
        path = url.split("/mlflow", 1)[-1].split("/", 1)[-1]
        return watch(method, path, lambda: request(self, method, url, *args, **rest))

    monkeypatch.setattr(requests.Session, "request", watched)


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(template / "mlflow.db", folder / "server.db")
    with serving(folder) as found:
        yield found


@pytest.fixture
def laptop(tmp_path: Path, template: Path, address: str) -> Laptop:
    return Laptop(tmp_path / "it's 100% #1", template, address)


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The address of a server on loopback, whose records are `server.db` in the folder."""
    port = free_port()
    found = f"http://127.0.0.1:{port}"
    argv = [str(Path(sys.executable).with_name("mlflow")), "server"]
    argv += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    argv += ["--backend-store-uri", f"sqlite:///{folder}/server.db"]
    argv += ["--artifacts-destination", str(folder / "artifacts")]
    with open(folder / "server.log", "wb") as out:
        process = subprocess.Popen(
            argv,
            cwd=folder,
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        until_it_answers(lambda: f"{found}/health", process, folder / "server.log")
        yield found
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """The server and the processes that it started: they are a group of their own."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
