"""Projects with a store: MLflow's empty one, filled by SQL as jobs fill it."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from remote.agent.tracking import run_rows
from remote.config import Project
from remote.session import TargetSession
from remote.target import Target
from tests.stores import empty_store


class Store:
    """A folder with mlflow.db and mlruns."""

    def __init__(self, root: Path, empty: Path) -> None:
        self.root, self.file = root, root / "mlflow.db"
        root.mkdir(parents=True)
        shutil.copy(empty, self.file)
        self.sql("UPDATE experiments SET artifact_location = ?", str(root / "mlruns/0"))

    def sql(self, query: str, *values: object) -> list[Any]:
        with closing(sqlite3.connect(self.file)) as database, database:
            return database.execute(query, values).fetchall()

    def run(
        self,
        run: str,
        *,
        name: str = "sunny",
        experiment: str = "digits",
        parent: str = "",
        artifact: str = "",
    ) -> str:
        """A finished run with this id, and a note where there is a text for it."""
        tags = {"mlflow.runName": name, "mlflow.user": "ada"}
        if parent:
            tags["mlflow.parentRunId"] = parent
        count = self.sql("SELECT count(*) FROM runs")[0][0]
        made = run_rows.begin(
            self.file, experiment=experiment, run_id=run, tags=tags, start_ms=1000 + count
        )
        if artifact:
            (made.artifact_dir / "it's a note.txt").write_text(artifact)
        run_rows.close(self.file, run, status="FINISHED", end_ms=9000)
        return run

    def delete(self, run: str) -> None:
        self.sql("UPDATE runs SET lifecycle_stage = 'deleted' WHERE run_uuid = ?", run)

    def runs(self) -> set[str]:
        return {run for (run,) in self.sql("SELECT run_uuid FROM runs")}

    def notes(self) -> dict[str, str]:
        """The artifacts, by the run that they belong to."""
        return {path.parts[-3]: path.read_text() for path in self.root.glob("mlruns/*/*/*/*.txt")}

    def dump(self) -> list[str]:
        with closing(sqlite3.connect(self.file)) as database:
            return sorted(database.iterdump())


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return empty_store(tmp_path_factory.mktemp("empty"))


@pytest.fixture
def here(tmp_path: Path, empty: Path) -> Store:
    """The project's own store."""
    return Store(tmp_path / "it's here", empty)


@pytest.fixture
def project(here: Store) -> Project:
    return Project(here.root, {})


@pytest.fixture
def server(project: Project, tmp_path: Path) -> TargetSession:
    """A target on this machine; its folder is not there yet."""
    return TargetSession.of(project, Target.parse(str(tmp_path / "there's 100%")))


@pytest.fixture
def far(server: TargetSession, empty: Path) -> Store:
    """The same target, ready, with a store of its own."""
    there = Store(Path(server.target.path), empty)
    # Two experiments of one name are the same where MLflow made them at the same time.
    there.sql("UPDATE experiments SET creation_time = 7")
    server.prepare(take_over=True)
    return there
