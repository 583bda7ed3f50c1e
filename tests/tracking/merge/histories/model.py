"""An MLflow store as plain dicts, and what MlflowClient does to it.

Experiments are known by `number`, which is never given twice and stays the same in a copy of the
store; what users see is the name.
"""

from __future__ import annotations

import copy
import itertools
from dataclasses import dataclass, field
from typing import Any

RUN_NAME = "mlflow.runName"
_numbers = itertools.count(1)

Point = tuple[str, int, int, float, bool]
"""key, timestamp, step, value, is_nan: a row of `metrics`."""


@dataclass
class Experiment:
    fields: dict[str, Any]
    tags: dict[str, str] = field(default_factory=dict)
    number: int = field(default_factory=lambda: next(_numbers))

    @property
    def name(self) -> str:
        return str(self.fields["name"])

    @property
    def active(self) -> bool:
        return bool(self.fields["lifecycle_stage"] == "active")


@dataclass
class Run:
    experiment: int
    fields: dict[str, Any]
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    metrics: set[Point] = field(default_factory=set)
    latest: dict[str, tuple[int, int, float, bool]] = field(default_factory=dict)
    """key -> step, timestamp, value, is_nan."""

    @property
    def active(self) -> bool:
        return bool(self.fields["lifecycle_stage"] == "active")

    @property
    def running(self) -> bool:
        return bool(self.fields["status"] == "RUNNING")

    def keep_later(self, key: str, point: tuple[int, int, float, bool]) -> None:
        """MLflow's rule: the greater (step, timestamp, value) is the latest."""
        if key not in self.latest or point[:3] > self.latest[key][:3]:
            self.latest[key] = point


@dataclass
class Store:
    experiments: dict[int, Experiment] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)

    def copy(self) -> Store:
        return copy.deepcopy(self)

    def named(self, name: str) -> Experiment:
        (found,) = (each for each in self.experiments.values() if each.name == name)
        return found

    @property
    def names(self) -> list[str]:
        return [each.name for each in self.experiments.values()]

    def runs_of(self, experiment: Experiment) -> list[Run]:
        return [run for run in self.runs.values() if run.experiment == experiment.number]

    # What a user does.

    def create_experiment(self, name: str, now: int) -> None:
        fields = {"name": name, "lifecycle_stage": "active"}
        made = Experiment({**fields, "creation_time": now, "last_update_time": now})
        self.experiments[made.number] = made

    def rename_experiment(self, name: str, to: str, now: int) -> None:
        self.named(name).fields.update(name=to, last_update_time=now)

    def delete_experiment(self, name: str, now: int) -> None:
        found = self.named(name)
        found.fields.update(lifecycle_stage="deleted", last_update_time=now)
        for run in self.runs_of(found):
            run.fields.update(lifecycle_stage="deleted", deleted_time=now)

    def restore_experiment(self, name: str, now: int) -> None:
        found = self.named(name)
        found.fields.update(lifecycle_stage="active", last_update_time=now)
        for run in self.runs_of(found):
            run.fields.update(lifecycle_stage="active", deleted_time=None)

    def hard_delete_experiment(self, name: str) -> None:
        number = self.named(name).number
        self.runs = {key: run for key, run in self.runs.items() if run.experiment != number}
        del self.experiments[number]

    def set_experiment_tag(self, name: str, key: str, value: str) -> None:
        self.named(name).tags[key] = value

    def delete_experiment_tag(self, name: str, key: str) -> None:
        del self.named(name).tags[key]

    def create_run(self, experiment: str, run_id: str, name: str, now: int) -> None:
        fields = {"name": name, "status": "RUNNING", "start_time": now, "end_time": None}
        stage = {"lifecycle_stage": "active", "deleted_time": None}
        tags = {RUN_NAME: name}
        self.runs[run_id] = Run(self.named(experiment).number, {**fields, **stage}, tags)

    def log_metrics(self, run_id: str, points: list[Point]) -> None:
        run = self.runs[run_id]
        for key, timestamp, step, value, is_nan in points:
            run.metrics.add((key, timestamp, step, value, is_nan))
            run.keep_later(key, (step, timestamp, value, is_nan))

    def log_param(self, run_id: str, key: str, value: str) -> None:
        self.runs[run_id].params.setdefault(key, value)

    def set_tag(self, run_id: str, key: str, value: str) -> None:
        self.runs[run_id].tags[key] = value

    def delete_tag(self, run_id: str, key: str) -> None:
        del self.runs[run_id].tags[key]

    def rename_run(self, run_id: str, name: str) -> None:
        self.runs[run_id].fields["name"] = name
        self.runs[run_id].tags[RUN_NAME] = name

    def finish(self, run_id: str, status: str, now: int) -> None:
        self.runs[run_id].fields.update(status=status, end_time=now)

    def resume(self, run_id: str) -> None:
        self.runs[run_id].fields["status"] = "RUNNING"

    def delete_run(self, run_id: str, now: int) -> None:
        self.runs[run_id].fields.update(lifecycle_stage="deleted", deleted_time=now)

    def restore_run(self, run_id: str) -> None:
        self.runs[run_id].fields.update(lifecycle_stage="active", deleted_time=None)

    def hard_delete_run(self, run_id: str) -> None:
        del self.runs[run_id]

    def add_clone(self, run_id: str, run: Run, experiment: str) -> None:
        """The run of another store, under its own id."""
        self.runs[run_id] = copy.deepcopy(run)
        self.runs[run_id].experiment = self.named(experiment).number

    def renumber(self) -> None:
        """Rebuilding the file: nothing that MLflow shows changes."""
