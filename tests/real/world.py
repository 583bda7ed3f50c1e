"""Servers with stores that real programs wrote, and a laptop that pulls from them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from remote.config import Project
from remote.operations.sync import pull
from remote.session import TargetSession
from remote.target import Target
from remote.tracking.merge import MergeSummary
from tests.kept import made_once, move, packages
from tests.real.programs.tell import told

PROGRAMS = Path(__file__).parent / "programs"
SQLITE = "sqlite:///mlflow.db"


def execute(
    python: Path, program: str, *words: str, cwd: Path, uri: str = SQLITE
) -> dict[str, Any]:
    """Run a program of `programs`; what it printed as JSON comes back."""
    clean = {name: os.environ[name] for name in os.environ if not name.startswith("MLFLOW_")}
    done = subprocess.run(
        [str(python), str(PROGRAMS / program), *words],
        cwd=cwd,
        env={**clean, "MLFLOW_TRACKING_URI": uri, "GIT_PYTHON_REFRESH": "quiet"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
    )
    if done.returncode:
        pytest.fail(f"{program} ended with {done.returncode}:\n{done.stderr[-4000:]}")
    found: dict[str, Any] = {}
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            found.update(json.loads(line))
    return found


@dataclass
class Server:
    """A folder with a store, which is out of reach but for the moments in which it is `up`."""

    root: Path
    facts: dict[str, Any]
    told: dict[str, Any]
    """What the MLflow there says of its store, where it was asked."""

    @classmethod
    def written_by(
        cls, root: Path, python: Path, program: str, *, uri: str = SQLITE, tell: bool = False
    ) -> Server:
        """A copy of the one that is kept, as if the program had run in `root`."""

        def make(folder: Path) -> None:
            first = folder / root.parent.name[:-1] / root.name
            first.mkdir(parents=True)
            facts = execute(python, program, cwd=first, uri=uri)
            said = execute(python, "tell.py", cwd=first, uri=uri) if tell else {}
            (folder / "facts.json").write_text(json.dumps([str(first), facts, said]))

        texts = [file.read_text("utf-8") for file in sorted(PROGRAMS.glob("*.py"))]
        key = (program, uri, tell, texts, packages(python.parent))
        kept = made_once(f"server {root.name}", key, make)
        first, facts, said = json.loads((kept / "facts.json").read_text())
        server = cls(root, facts, said)
        shutil.copytree(first, server.parked, symlinks=True)
        move(server.parked, first, str(root))
        return server

    @property
    def parked(self) -> Path:
        return self.root.with_name(self.root.name + " (away)")

    @property
    def store(self) -> Path:
        """Its database, where it lies while the server is away."""
        return self.parked / "mlflow.db"

    @contextlib.contextmanager
    def up(self) -> Iterator[None]:
        self.parked.rename(self.root)
        try:
            yield
        finally:
            self.root.rename(self.parked)


@dataclass
class Laptop:
    """A project, and a home for the toolkit's own files."""

    root: Path

    @property
    def store(self) -> Path:
        return self.root / "mlflow.db"

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.store}"

    @cached_property
    def client(self) -> Any:
        from mlflow import MlflowClient

        return MlflowClient(self.uri, registry_uri=self.uri)

    def pull(self, server: Server, *, registry: bool = True) -> MergeSummary:
        """What `make sync-pull` does; the server is gone afterwards."""
        project = Project(self.root, {})
        with server.up(), pytest.MonkeyPatch.context() as patch:
            patch.setenv("HOME", str(self.root.parent / "home of the laptop"))
            reached = TargetSession.of(project, Target.parse(str(server.root)))
            reached.prepare(take_over=True)
            pulled = pull(reached, registry=registry)
        assert pulled.records.summary is not None
        assert self.rows("PRAGMA foreign_key_check") == []
        assert self.rows("PRAGMA integrity_check") == [("ok",)]
        return pulled.records.summary

    def rows(self, query: str, *values: object) -> list[Any]:
        return rows(self.store, query, *values)

    def one(self, query: str, *values: object) -> Any:
        ((value,),) = self.rows(query, *values)
        return value

    def told(self) -> dict[str, Any]:
        """What the project's own MLflow says of the store; as JSON brings it from elsewhere."""
        return dict(json.loads(json.dumps(told(self.client))))

    def names(self, folder: Path) -> list[str]:
        """The records here that still name a folder of another machine."""
        with contextlib.closing(sqlite3.connect(self.store)) as database:
            name = str(folder).replace("'", "''")
            return [line for line in database.iterdump() if name in line]

    @contextlib.contextmanager
    def used(self) -> Iterator[Any]:
        """mlflow, as a program that runs in this project sees it."""
        import mlflow

        mlflow.set_tracking_uri(self.uri)
        mlflow.set_registry_uri(self.uri)
        try:
            yield mlflow
        finally:
            mlflow.set_tracking_uri(None)
            mlflow.set_registry_uri(None)


def rows(store: Path, query: str, *values: object) -> list[Any]:
    with contextlib.closing(sqlite3.connect(store, timeout=60)) as database, database:
        return database.execute(query, values).fetchall()
