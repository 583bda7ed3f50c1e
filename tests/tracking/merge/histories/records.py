"""A real store, written to by the statements that MlflowClient makes, without its four seconds.

Every method leaves the rows that the operation of the same name in MLflow leaves; a test compares
them.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.tracking.merge.histories.model import RUN_NAME, Experiment, Point, Run, Store

_OF_RUN = ("metrics", "latest_metrics", "params", "tags")
_RUN_FIELDS = ("name", "status", "start_time", "end_time", "lifecycle_stage", "deleted_time")
_EXPERIMENT_FIELDS = ("name", "lifecycle_stage", "creation_time", "last_update_time")


class Records:
    """A folder with `mlflow.db`; its artifacts would be in `mlruns`."""

    def __init__(self, root: Path, template: Path, now: int) -> None:
        self.root, self.file, self.mlruns = root, root / "mlflow.db", root / "mlruns"
        root.mkdir(parents=True)
        shutil.copy(template, self.file)
        self.database = sqlite3.connect(self.file, isolation_level=None)
        self.database.execute("PRAGMA synchronous = OFF")
        self.database.execute("PRAGMA journal_mode = MEMORY")
        query = (
            "UPDATE experiments SET artifact_location = ?, creation_time = ?, last_update_time = ?"
        )
        self.sql(query + " WHERE experiment_id = 0", f"{self.mlruns}/0", now, now)

    def close(self) -> None:
        self.database.close()

    def sql(self, query: str, *values: object) -> list[Any]:
        return self.database.execute(query, values).fetchall()

    @contextmanager
    def at_once(self) -> Iterator[None]:
        self.sql("BEGIN IMMEDIATE")
        yield
        self.sql("COMMIT")

    def become(self, other: Records, later: int) -> None:
        """A copy of another store, its paths put right.

        Its experiments are of another time: one of them that gets the number of an experiment
        deleted here would else be that experiment again.
        """
        other.database.backup(self.database)
        with self.at_once():
            for column in ("experiments.artifact_location", "runs.artifact_uri"):
                table, name = column.split(".")
                query = f"UPDATE {table} SET {name} = replace({name}, ?, ?)"
                self.sql(query, str(other.mlruns), str(self.mlruns))
            self.sql("UPDATE experiments SET creation_time = creation_time + ?", later)

    def experiment_id(self, name: str) -> int:
        ((found,),) = self.sql("SELECT experiment_id FROM experiments WHERE name = ?", name)
        return int(found)

    # What a user does.

    def create_experiment(self, name: str, now: int) -> None:
        with self.at_once():
            query = "INSERT INTO experiments (name, lifecycle_stage, creation_time,"
            query += " last_update_time, workspace) VALUES (?, 'active', ?, ?, 'default')"
            self.sql(query, name, now, now)
            made = self.experiment_id(name)
            query = "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?"
            self.sql(query, f"{self.mlruns}/{made}", made)

    def rename_experiment(self, name: str, to: str, now: int) -> None:
        query = "UPDATE experiments SET name = ?, last_update_time = ? WHERE name = ?"
        self.sql(query, to, now, name)

    def delete_experiment(self, name: str, now: int) -> None:
        self._stage(name, "deleted", now, now)

    def restore_experiment(self, name: str, now: int) -> None:
        self._stage(name, "active", now, None)

    def _stage(self, name: str, stage: str, now: int, deleted: int | None) -> None:
        with self.at_once():
            query = "UPDATE experiments SET lifecycle_stage = ?, last_update_time = ?"
            self.sql(query + " WHERE name = ?", stage, now, name)
            query = "UPDATE runs SET lifecycle_stage = ?, deleted_time = ? WHERE experiment_id = ?"
            self.sql(query, stage, deleted, self.experiment_id(name))

    def hard_delete_experiment(self, name: str) -> None:
        """`mlflow gc --experiment-ids`, which takes its runs first."""
        found = self.experiment_id(name)
        for (run_id,) in self.sql("SELECT run_uuid FROM runs WHERE experiment_id = ?", found):
            self.hard_delete_run(run_id)
        with self.at_once():
            self.sql("DELETE FROM experiment_tags WHERE experiment_id = ?", found)
            self.sql("DELETE FROM experiments WHERE experiment_id = ?", found)

    def set_experiment_tag(self, name: str, key: str, value: str) -> None:
        query = "INSERT OR REPLACE INTO experiment_tags (key, value, experiment_id)"
        self.sql(query + " VALUES (?, ?, ?)", key, value, self.experiment_id(name))

    def delete_experiment_tag(self, name: str, key: str) -> None:
        query = "DELETE FROM experiment_tags WHERE key = ? AND experiment_id = ?"
        self.sql(query, key, self.experiment_id(name))

    def create_run(self, experiment: str, run_id: str, name: str, now: int) -> None:
        fields = dict.fromkeys(_RUN_FIELDS)
        fields.update(name=name, status="RUNNING", start_time=now, lifecycle_stage="active")
        with self.at_once():
            self._insert_run(run_id, fields, self.experiment_id(experiment))
            self.set_tag(run_id, RUN_NAME, name)

    def _insert_run(self, run_id: str, fields: dict[str, Any], experiment: int) -> None:
        row = {
            "run_uuid": run_id,
            "source_type": "UNKNOWN",
            "source_name": "",
            "entry_point_name": "",
            "user_id": "unknown",
            "source_version": "",
            "artifact_uri": f"{self.mlruns}/{experiment}/{run_id}/artifacts",
            "experiment_id": experiment,
            **fields,
        }
        marks = ", ".join("?" * len(row))
        self.sql(f"INSERT INTO runs ({', '.join(row)}) VALUES ({marks})", *row.values())

    def log_metrics(self, run_id: str, points: list[Point]) -> None:
        with self.at_once():
            for point in points:
                self._log_metric(run_id, *point)

    def _log_metric(
        self, run_id: str, key: str, timestamp: int, step: int, value: float, is_nan: bool
    ) -> None:
        query = "INSERT OR IGNORE INTO metrics (key, value, timestamp, run_uuid, step, is_nan)"
        self.sql(query + " VALUES (?, ?, ?, ?, ?, ?)", key, value, timestamp, run_id, step, is_nan)
        query = "SELECT 1 FROM latest_metrics WHERE run_uuid = ? AND key = ?"
        query += " AND (step, timestamp, value) >= (?, ?, ?)"
        if not self.sql(query, run_id, key, step, timestamp, value):
            query = "INSERT OR REPLACE INTO latest_metrics"
            query += " (key, value, timestamp, step, is_nan, run_uuid) VALUES (?, ?, ?, ?, ?, ?)"
            self.sql(query, key, value, timestamp, step, is_nan, run_id)

    def log_param(self, run_id: str, key: str, value: str) -> None:
        query = "INSERT OR IGNORE INTO params (key, value, run_uuid) VALUES (?, ?, ?)"
        self.sql(query, key, value, run_id)

    def set_tag(self, run_id: str, key: str, value: str) -> None:
        query = "INSERT OR REPLACE INTO tags (key, value, run_uuid) VALUES (?, ?, ?)"
        self.sql(query, key, value, run_id)

    def delete_tag(self, run_id: str, key: str) -> None:
        self.sql("DELETE FROM tags WHERE key = ? AND run_uuid = ?", key, run_id)

    def rename_run(self, run_id: str, name: str) -> None:
        with self.at_once():
            self.sql("UPDATE runs SET name = ? WHERE run_uuid = ?", name, run_id)
            self.set_tag(run_id, RUN_NAME, name)

    def finish(self, run_id: str, status: str, now: int) -> None:
        query = "UPDATE runs SET status = ?, end_time = ? WHERE run_uuid = ?"
        self.sql(query, status, now, run_id)

    def resume(self, run_id: str) -> None:
        self.sql("UPDATE runs SET status = 'RUNNING' WHERE run_uuid = ?", run_id)

    def delete_run(self, run_id: str, now: int) -> None:
        query = "UPDATE runs SET lifecycle_stage = 'deleted', deleted_time = ? WHERE run_uuid = ?"
        self.sql(query, now, run_id)

    def restore_run(self, run_id: str) -> None:
        query = "UPDATE runs SET lifecycle_stage = 'active', deleted_time = NULL WHERE run_uuid = ?"
        self.sql(query, run_id)

    def hard_delete_run(self, run_id: str) -> None:
        """`mlflow gc`."""
        with self.at_once():
            for table in (*_OF_RUN, "runs"):
                self.sql(f"DELETE FROM {table} WHERE run_uuid = ?", run_id)

    def add_clone(self, run_id: str, run: Run, experiment: str) -> None:
        with self.at_once():
            self._insert_run(run_id, run.fields, self.experiment_id(experiment))
            for key, value in run.tags.items():
                self.set_tag(run_id, key, value)
            for key, value in run.params.items():
                self.log_param(run_id, key, value)
            for point in sorted(run.metrics):
                self._log_metric(run_id, *point)
            for key, (step, timestamp, value, is_nan) in run.latest.items():
                # It may be ahead of the metrics, where a pull was stopped in between.
                query = "INSERT OR REPLACE INTO latest_metrics"
                query += " (key, value, timestamp, step, is_nan, run_uuid) VALUES (?,?,?,?,?,?)"
                self.sql(query, key, value, timestamp, step, is_nan, run_id)

    def renumber(self) -> None:
        """The rows of `metrics` get new rowids, without gaps, as a rebuilt table's are."""
        with self.at_once():
            self.sql("CREATE TEMP TABLE old AS SELECT * FROM metrics ORDER BY rowid")
            self.sql("DELETE FROM metrics")
            self.sql("INSERT INTO metrics SELECT * FROM old ORDER BY rowid")
            self.sql("DROP TABLE temp.old")
        self.sql("VACUUM")

    # What is there.

    def read(self) -> Store:
        """All of it, as a model; experiments are numbered by their ids. Checks every path."""
        store = Store()
        names = ", ".join(_EXPERIMENT_FIELDS)
        rows = self.sql(f"SELECT experiment_id, artifact_location, {names} FROM experiments")
        for number, location, *values in rows:
            assert location == f"{self.mlruns}/{number}"
            fields = dict(zip(_EXPERIMENT_FIELDS, values))
            store.experiments[number] = Experiment(fields, number=number)
        for key, value, number in self.sql("SELECT key, value, experiment_id FROM experiment_tags"):
            store.experiments[number].tags[key] = value
        self._read_runs(store)
        return store

    def _read_runs(self, store: Store) -> None:
        names = ", ".join(_RUN_FIELDS)
        query = f"SELECT run_uuid, experiment_id, artifact_uri, {names} FROM runs"
        for run_id, number, location, *values in self.sql(query):
            assert location == f"{self.mlruns}/{number}/{run_id}/artifacts"
            store.runs[run_id] = Run(number, dict(zip(_RUN_FIELDS, values)))
        for run_id, key, value in self.sql("SELECT run_uuid, key, value FROM tags"):
            store.runs[run_id].tags[key] = value
        for run_id, key, value in self.sql("SELECT run_uuid, key, value FROM params"):
            store.runs[run_id].params[key] = value
        query = "SELECT run_uuid, key, timestamp, step, value, is_nan FROM metrics"
        for run_id, key, timestamp, step, value, is_nan in self.sql(query):
            store.runs[run_id].metrics.add((key, timestamp, step, value, bool(is_nan)))
        query = "SELECT run_uuid, key, step, timestamp, value, is_nan FROM latest_metrics"
        for run_id, key, step, timestamp, value, is_nan in self.sql(query):
            store.runs[run_id].latest[key] = (step, timestamp, value, bool(is_nan))
