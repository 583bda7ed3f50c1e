"""What an MLflow store says, read by plain SQL."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Run:
    store: Store
    id: str
    experiment: str
    status: str
    start_time: int
    end_time: int
    artifacts: Path

    @property
    def params(self) -> dict[str, str]:
        return dict(self.store.rows("SELECT key, value FROM params WHERE run_uuid = ?", self.id))

    @property
    def tags(self) -> dict[str, str]:
        return dict(self.store.rows("SELECT key, value FROM tags WHERE run_uuid = ?", self.id))

    def history(self, key: str) -> list[tuple[int, float]]:
        return self.store.rows(
            "SELECT step, value FROM metrics WHERE run_uuid = ? AND key = ? ORDER BY step",
            self.id,
            key,
        )


@dataclass(frozen=True)
class Store:
    path: Path

    def rows(self, query: str, *values: Any) -> list[Any]:
        with contextlib.closing(sqlite3.connect(self.path, timeout=30)) as database:
            return database.execute(query, values).fetchall()

    def runs(self) -> list[Run]:
        query = (
            "SELECT run_uuid, experiments.name, status, start_time, end_time, artifact_uri "
            "FROM runs JOIN experiments USING (experiment_id)"
        )
        return [Run(self, *row[:5], Path(row[5])) for row in self.rows(query)]

    def runs_of(self, job: str) -> list[Run]:
        return [run for run in self.runs() if run.tags.get("remote.job") == job]

    def run_of(self, job: str) -> Run:
        (run,) = self.runs_of(job)
        return run
