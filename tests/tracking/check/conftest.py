"""A real project: runs, a model, a trace and a registered model, made by mlflow once."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from remote.tracking.check.examine import Finding, examine, mend

_PATHS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
    ("trace_tags", "value"),
)


class Project:
    """A folder with a store and its artifacts."""

    def __init__(self, root: Path) -> None:
        self.root, self.store, self.mlruns = root, root / "mlflow.db", root / "mlruns"

    @property
    def client(self) -> Any:
        from mlflow import MlflowClient
        from mlflow.tracking._tracking_service import utils

        # It remembers where a run's artifacts are, across clients and stores.
        utils._artifact_repos_cache.clear()
        return MlflowClient(f"sqlite:///{self.store}")

    def sql(self, query: str, *values: object) -> list[Any]:
        with closing(sqlite3.connect(self.store, timeout=60)) as database, database:
            return database.execute(query, values).fetchall()

    def one(self, query: str, *values: object) -> Any:
        ((value,),) = self.sql(query, *values)
        return value

    def run(self, name: str) -> str:
        return str(self.one("SELECT run_uuid FROM runs WHERE name = ?", name))

    @property
    def model(self) -> str:
        return str(self.one("SELECT model_id FROM logged_models"))

    def check(self) -> list[Finding]:
        before = self.dump()
        found = examine(self.store)
        assert self.dump() == before, "a check changes nothing"
        return found

    def mend(self) -> list[Finding]:
        """What is left after mending; mending again changes nothing."""
        copies = len(list(self.root.glob("mlflow.db.before-check-*")))
        assert mend(self.store, examine(self.store)) is not None
        assert len(list(self.root.glob("mlflow.db.before-check-*"))) == copies + 1
        assert self.sql("PRAGMA foreign_key_check") == []
        after = self.store.read_bytes()
        left = examine(self.store)
        assert mend(self.store, left) is None
        assert self.store.read_bytes() == after
        return left

    def moved(self, root: Path) -> Project:
        root.parent.mkdir(parents=True, exist_ok=True)
        self.root.rename(root)
        return Project(root)

    def says_root(self, old: Path) -> None:
        """Have all records name this project in place of `old`."""
        for table, column in _PATHS:
            self.sql(
                f"UPDATE {table} SET {column} = replace({column}, ?, ?)", f"{old}/", f"{self.root}/"
            )

    def dump(self) -> list[str]:
        with closing(sqlite3.connect(self.store)) as database:
            return list(database.iterdump())

    def artifacts(self, run: str) -> list[str]:
        return [each.path for each in self.client.list_artifacts(run)]

    def predicts(self, uri: str) -> float:
        """What the model at `uri` makes of 10; it was fitted to double."""
        import mlflow

        mlflow.set_tracking_uri(f"sqlite:///{self.store}")
        assert self.client
        try:
            return float(mlflow.sklearn.load_model(uri).predict([[10.0]])[0])
        finally:
            mlflow.set_tracking_uri(None)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project as mlflow left it; never changed."""
    import mlflow
    import numpy
    from mlflow import MlflowClient
    from mlflow.entities import Metric
    from sklearn.linear_model import LinearRegression

    root = tmp_path_factory.mktemp("made") / "project"
    root.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_NAME"):
            patch.delenv(name, raising=False)
        mlflow.set_tracking_uri(f"sqlite:///{root}/mlflow.db")
        client = MlflowClient()
        with mlflow.start_run(run_name="full") as run:
            client.log_batch(
                run.info.run_id, [Metric("loss", 1 / (i + 1), 5000 + i, i) for i in range(5)]
            )
            mlflow.log_text("hello", "notes/hello.txt")
            x = numpy.arange(6.0).reshape(-1, 1)
            mlflow.log_input(mlflow.data.from_numpy(x, name="six"), context="training")
            fitted = LinearRegression().fit(x, 2 * x[:, 0])
            # Named, they need not be found out.
            needs = ["scikit-learn"]
            mlflow.sklearn.log_model(
                fitted, name="model", registered_model_name="doubler", pip_requirements=needs
            )
        with mlflow.start_run(run_name="bare"):
            mlflow.log_metric("loss", 2.0)

        @mlflow.trace
        def traced(value: int) -> int:
            return value + 1

        traced(1)
        mlflow.flush_trace_async_logging()
        mlflow.set_tracking_uri(None)
    return Project(root)


@pytest.fixture
def project(tmp_path: Path, made: Project) -> Project:
    """A copy of a project's own, in a folder whose name is hard to write."""
    copy = Project(tmp_path / "it's a 100% #1" / "project")
    shutil.copytree(made.root, copy.root)
    copy.says_root(made.root)
    return copy


def names(findings: list[Finding]) -> list[str]:
    return [finding.name for finding in findings]
