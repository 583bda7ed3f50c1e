"""Every operation of the histories, done by MlflowClient to one store and by Records to another."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any
from unittest import mock

from tests.tracking.merge.histories.model import Point
from tests.tracking.merge.histories.records import Records

_CLOCK = "mlflow.store.tracking.sqlalchemy_store.get_current_time_millis"


class ByClient:
    """The operations of `Records`, as MlflowClient does them."""

    def __init__(self, records: Records) -> None:
        from mlflow import MlflowClient
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        uri = f"sqlite:///{records.file}"
        self.client = MlflowClient(uri)
        self.store = SqlAlchemyStore(uri, str(records.mlruns))

    def experiment(self, name: str) -> Any:
        found = self.client.search_experiments(view_type=3)
        return next(each.experiment_id for each in found if each.name == name)

    def create_experiment(self, name: str, now: int) -> None:
        with mock.patch(_CLOCK, return_value=now):
            self.store.create_experiment(name)

    def rename_experiment(self, name: str, to: str, now: int) -> None:
        with mock.patch(_CLOCK, return_value=now):
            self.client.rename_experiment(self.experiment(name), to)

    def delete_experiment(self, name: str, now: int) -> None:
        with mock.patch(_CLOCK, return_value=now):
            self.client.delete_experiment(self.experiment(name))

    def restore_experiment(self, name: str, now: int) -> None:
        with mock.patch(_CLOCK, return_value=now):
            self.client.restore_experiment(self.experiment(name))

    def hard_delete_experiment(self, name: str) -> None:
        """What `mlflow gc --experiment-ids` calls."""
        found = self.experiment(name)
        for run in self.client.search_runs([found], run_view_type=3):
            self.store._hard_delete_run(run.info.run_id)
        self.store._hard_delete_experiment(found)

    def set_experiment_tag(self, name: str, key: str, value: str) -> None:
        self.client.set_experiment_tag(self.experiment(name), key, value)

    def delete_experiment_tag(self, name: str, key: str) -> None:
        self.client.delete_experiment_tag(self.experiment(name), key)

    def create_run(self, experiment: str, run_id: str, name: str, now: int) -> None:
        found = mock.Mock(hex=run_id)
        with mock.patch("mlflow.store.tracking.sqlalchemy_store.uuid.uuid4", return_value=found):
            self.client.create_run(self.experiment(experiment), start_time=now, run_name=name)

    def log_metrics(self, run_id: str, points: list[Point]) -> None:
        from mlflow.entities import Metric

        self.client.log_batch(
            run_id,
            [
                Metric(key, math.nan if is_nan else value, timestamp, step)
                for key, timestamp, step, value, is_nan in points
            ],
        )

    def log_param(self, run_id: str, key: str, value: str) -> None:
        self.client.log_param(run_id, key, value)

    def set_tag(self, run_id: str, key: str, value: str) -> None:
        self.client.set_tag(run_id, key, value)

    def delete_tag(self, run_id: str, key: str) -> None:
        self.client.delete_tag(run_id, key)

    def rename_run(self, run_id: str, name: str) -> None:
        self.client.update_run(run_id, name=name)

    def finish(self, run_id: str, status: str, now: int) -> None:
        self.client.set_terminated(run_id, status, end_time=now)

    def resume(self, run_id: str) -> None:
        self.client.update_run(run_id, "RUNNING")

    def delete_run(self, run_id: str, now: int) -> None:
        with mock.patch(_CLOCK, return_value=now):
            self.client.delete_run(run_id)

    def restore_run(self, run_id: str) -> None:
        self.client.restore_run(run_id)

    def hard_delete_run(self, run_id: str) -> None:
        """What `mlflow gc` calls."""
        self.store._hard_delete_run(run_id)


def steps() -> Iterator[tuple[str, tuple[Any, ...]]]:
    """A life of two experiments and two runs in which each operation occurs."""
    one, two = "1" * 32, "2" * 32
    yield "create_experiment", ("a", 10)
    yield "create_experiment", ("b", 11)
    yield "create_run", ("a", one, "sunny", 12)
    yield "create_run", ("b", two, "rainy", 13)
    yield "set_experiment_tag", ("a", "colour", "red")
    yield "set_experiment_tag", ("a", "colour", "blue")
    yield "set_experiment_tag", ("b", "mlflow.note.content", "why")
    yield "delete_experiment_tag", ("a", "colour")
    yield "log_metrics", (one, [("loss", 5, 1, 0.5, False), ("loss", 5, 1, 0.0, True)])
    yield "log_metrics", (one, [("loss", 5, 1, 0.5, False), ("loss", 4, 2, 0.0, True)])
    yield "log_metrics", (one, [("acc", 9, 0, 0.0, True), ("acc", 9, 0, 0.0, False)])
    yield "log_metrics", (two, [("loss", 5, 1, 0.25, False), ("loss", 4, 1, 9.0, False)])
    yield "log_param", (one, "lr", "0.1")
    yield "set_tag", (one, "colour", "red")
    yield "set_tag", (one, "colour", "green")
    yield "set_tag", (one, "mlflow.note.content", "look")
    yield "delete_tag", (one, "colour")
    yield "rename_run", (one, "cloudy")
    yield "delete_tag", (one, "mlflow.runName")
    yield "rename_run", (one, "windy")
    yield "finish", (one, "FAILED", 20)
    yield "resume", (one,)
    yield "delete_run", (one, 21)
    yield "restore_run", (one,)
    yield "rename_experiment", ("a", "c", 22)
    yield "delete_experiment", ("b", 23)
    yield "restore_experiment", ("b", 24)
    yield "delete_run", (one, 25)
    yield "delete_experiment", ("b", 26)
    yield "hard_delete_experiment", ("b",)
    yield "create_experiment", ("b", 27)
    yield "hard_delete_run", (one,)
    yield "create_run", ("b", two, "sunny", 28)
    yield "log_metrics", (two, [("loss", 1, 1, 1.0, False)])
