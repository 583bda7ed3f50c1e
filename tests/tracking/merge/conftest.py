"""Real MLflow stores: one template is made by mlflow, every project starts from a copy."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from remote.tracking import delta, merge
from remote.tracking.merge.base import backup_of


class Project:
    """A folder with a store, on the laptop or on a server."""

    def __init__(self, root: Path, template: Path) -> None:
        self.root, self.store, self.mlruns = root, root / "mlflow.db", root / "mlruns"
        root.mkdir(parents=True, exist_ok=True)
        shutil.copy(template / "mlflow.db", self.store)
        self.sql("UPDATE experiments SET artifact_location = ?", f"{self.mlruns}/0")
        # Two stores are never made in the same millisecond.
        self.sql("UPDATE experiments SET creation_time = ?", hash(str(root)) % 10**12)

    @property
    def client(self) -> Any:
        from mlflow import MlflowClient

        return MlflowClient(f"sqlite:///{self.store}")

    def sql(self, query: str, *values: object) -> list[Any]:
        with closing(sqlite3.connect(self.store, timeout=60)) as database, database:
            return database.execute(query, values).fetchall()

    def one(self, query: str, *values: object) -> Any:
        ((value,),) = self.sql(query, *values)
        return value

    def experiment(self, name: str) -> str:
        next_id = self.one("SELECT max(experiment_id) + 1 FROM experiments")
        made = self.client.create_experiment(name, f"{self.mlruns}/{next_id}")
        assert made == str(next_id)
        return made

    def run(self, experiment: str, *, end: str | None = "FINISHED", steps: int = 3) -> str:
        """A run with a parameter, a tag and `steps` values of `loss`."""
        client = self.client
        run_id: str = client.create_run(
            experiment, start_time=1_000_000, tags={"colour": "red"}, run_name="sunny"
        ).info.run_id
        client.log_param(run_id, "lr", "0.1")
        self.log(run_id, range(steps))
        if end:
            client.set_terminated(run_id, end, end_time=2_000_000)
        return run_id

    def log(self, run_id: str, steps: range) -> None:
        from mlflow.entities import Metric

        points = [Metric("loss", 1 / (step + 1), 5000 + step, step) for step in steps]
        self.client.log_batch(run_id, points)

    def hard_delete(self, run_id: str) -> None:
        """What `mlflow gc` leaves of a run."""
        for table in ("params", "tags", "metrics", "latest_metrics", "runs"):
            self.sql(f"DELETE FROM {table} WHERE run_uuid = ?", run_id)

    def dump(self) -> list[str]:
        with closing(sqlite3.connect(self.store)) as database:
            return sorted(database.iterdump())

    def broken_links(self) -> list[Any]:
        return self.sql("PRAGMA foreign_key_check")


class World:
    """The laptop (`here`), a server (`far`), and pulls between them."""

    def __init__(self, folder: Path, template: Path) -> None:
        self.folder, self.template = folder, template
        self.here, self.far = self.project("here"), self.project("far")

    def project(self, name: str) -> Project:
        return Project(self.folder / name, self.template)

    def base(self, far: Project | None = None) -> Path:
        return self.here.root / ".remote" / f"base-{(far or self.far).root.name}.db"

    def lose_base(self, far: Project | None = None) -> None:
        """The base and its copy."""
        for file in (self.base(far), backup_of(self.base(far))):
            file.unlink()

    def delta(self, far: Project | None = None) -> Path:
        far = far or self.far
        known = merge.pull_state(self.base(far), store=self.here.store)
        out = self.folder / f"{far.root.name}.delta"
        delta.write(far.store, out, known)
        return out

    def forged(self, *statements: str) -> Path:
        """A delta as a hostile server might send it."""
        file = self.delta()
        with closing(sqlite3.connect(file)) as database, database:
            for statement in statements:
                database.execute(statement)
        return file

    def apply(
        self, file: Path, far: Project | None = None, *, dry_run: bool = False
    ) -> merge.MergeSummary:
        far = far or self.far
        return merge.merge(
            file,
            store=self.here.store,
            artifact_root=self.here.mlruns,
            base=self.base(far),
            source=far.root.name,
            dry_run=dry_run,
        )

    def pull(self, far: Project | None = None) -> merge.MergeSummary:
        summary = self.apply(self.delta(far), far)
        merge.mark_fetched(self.base(far), summary.artifacts)
        assert self.here.broken_links() == []
        return summary


@pytest.fixture
def world(tmp_path: Path, template: Path) -> World:
    return World(tmp_path / "it's a 100% #1", template)
