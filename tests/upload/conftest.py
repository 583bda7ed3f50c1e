"""A real MLflow server for the whole session; sources are real stores."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from remote import upload
from remote.tracking import delta, merge
from remote.tracking.create_store import ensure_store
from remote.upload.server import Server
from scripts.sshd import free_port
from tests.tracking.merge.conftest import Project
from tests.waiting import until_it_answers


class Far:
    """The source: a store, its deltas, and their uploads."""

    def __init__(self, folder: Path, template: Path, address: str) -> None:
        self.folder, self.address = folder, address
        self.name = folder.name
        self.project = Project(folder / "far", template)
        # Experiments of other tests are on the server too.
        self.experiment = self.project.experiment(f"exp {folder}")
        self.base = folder / "base.db"

    @property
    def there(self) -> Any:
        from mlflow import MlflowClient

        return MlflowClient(self.address)

    def delta(self) -> Path:
        out = self.folder / "far.delta"
        delta.write(self.project.store, out, upload.known(self.base, address=self.address))
        return out

    def apply(self, file: Path) -> upload.UploadSummary:
        return upload.merge(file, address=self.address, base=self.base, source=self.name)

    def push(self) -> upload.UploadSummary:
        return self.apply(self.delta())

    def runs(self, view: int = 3) -> list[Any]:
        """Those of the experiment on the server; view 1: active, 2: deleted, 3: all."""
        found = self.there.get_experiment_by_name(f"exp {self.folder}")
        return list(self.there.search_runs([found.experiment_id], run_view_type=view))

    def run_of(self, source: str) -> Any:
        (found,) = (each for each in self.runs() if each.data.tags["remote.source_run"] == source)
        return found


class Stopped(Exception):
    """The upload is killed here."""


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The requests from now on that may have changed something on the server."""
    sent: list[str] = []
    answer = Server._answer

    def spy(self: Server, method: str, path: str, **rest: Any) -> Any:
        if method != "GET" and not path.endswith("/search"):
            sent.append(f"{method} {path}")
        return answer(self, method, path, **rest)

    monkeypatch.setattr(Server, "_answer", spy)
    return sent


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.getbasetemp() / "mlflow-template"
    ensure_store(folder / "mlflow.db", folder / "mlruns")
    return folder


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(template / "mlflow.db", folder / "server.db")
    with serving(folder) as found:
        yield found


@pytest.fixture
def far(tmp_path: Path, template: Path, address: str) -> Far:
    return Far(tmp_path / "it's 100% #1", template, address)


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


def _end(process: "subprocess.Popen[bytes]") -> None:
    """The server and the processes that it started: they are a group of their own."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
