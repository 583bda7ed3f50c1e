"""The curves of a job: rows of its run that MLflow's page of system metrics shows."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from remote.agent.gpus.sample import GpuSample
from remote.agent.tracking import run_rows
from remote.agent.worker import curves
from remote.agent.worker.curves import Curves
from remote.agent.worker.usage import GpuUsage, TreeUse
from tests.stores import empty_store

RUN = "a" * 32


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(curves, "time", made)
    monkeypatch.setattr(curves.os, "cpu_count", lambda: 4)
    return made


@pytest.fixture
def store(tmp_path: Path) -> Path:
    made = empty_store(tmp_path)
    tags = {"mlflow.runName": "sunny", "mlflow.user": "ada"}
    run_rows.begin(made, experiment="digits", run_id=RUN, tags=tags, start_ms=1)
    return made


def begun(store: Path, *uuids: str) -> tuple[Curves, GpuUsage]:
    gpus = GpuUsage(uuids)
    return Curves(store, run_rows.RecordedRun(RUN, "1", store.parent), gpus), gpus


def rows(store: Path, table: str = "metrics") -> dict[str, list[tuple[Any, ...]]]:
    with closing(sqlite3.connect(store)) as database:
        query = f"SELECT key, value, timestamp, step FROM {table} ORDER BY step"
        found: dict[str, list[tuple[Any, ...]]] = {}
        for key, *row in database.execute(query):
            found.setdefault(key, []).append(tuple(row))
        return found


def test_processes_and_own_cards_are_drawn_under_mlflows_names(store: Path, clock: Clock) -> None:
    drawn, gpus = begun(store, "GPU-b", "GPU-a")
    clock.now += 10
    gpus._samples = [
        GpuSample("GPU-b", 1000, 4000, 40, 100, 400, 50),
        GpuSample("GPU-b", 3000, 4000, 60, 300, 400, None),
        GpuSample("GPU-a", None, 4000, None, None, None, 30),
    ]
    drawn.look(TreeUse(2_000_000, 20.0, 3_000_000, 0))
    clock.now += 10
    drawn.look(TreeUse(1_000_000, 40.0, 3_000_000, 5_000_000))
    drawn.write()
    found = rows(store)
    share = found.pop("system/system_memory_usage_percentage")
    assert len(share) == 2 and 0 < share[0][0] < 100
    moments = [(1010_000, 0), (1020_000, 1)]
    assert found == {
        f"system/{name}": [(value, *moment) for value, moment in zip(values, moments)]
        for name, values in {
            "cpu_utilization_percentage": (50.0, 50.0),
            "system_memory_usage_megabytes": (2.0, 1.0),
            "disk_read_megabytes": (3.0, 3.0),
            "disk_write_megabytes": (0.0, 5.0),
            "gpu_0_utilization_percentage": (50.0,),
            "gpu_0_memory_usage_megabytes": (2097.152,),
            "gpu_0_memory_usage_percentage": (50.0,),
            "gpu_0_power_usage_watts": (200.0,),
            "gpu_0_power_usage_percentage": (50.0,),
            "gpu_0_temperature_celsius": (50.0,),
            "gpu_1_temperature_celsius": (30.0,),
        }.items()
    }
    latest = rows(store, "latest_metrics")
    assert all(latest[key] == values[-1:] for key, values in found.items())


def test_they_are_written_now_and_then_and_their_points_grow_rare(
    store: Path, clock: Clock
) -> None:
    drawn, _ = begun(store)
    written = []
    for _ in range(86400):
        clock.now += 1
        drawn.look(TreeUse(1, clock.now))
        if clock.now in (1055, 1070, 2000):
            written.append(sum(map(len, rows(store).values())))
    assert written[0] == 0 < written[1] < written[2]
    drawn.write()
    points = rows(store)["system/cpu_utilization_percentage"]
    assert 800 < len(points) < 1300
    assert [moment for _, moment, _ in points[:4]] == [1010_000, 1015_000, 1020_000, 1025_000]


def test_a_short_job_has_none(store: Path, clock: Clock) -> None:
    drawn, _ = begun(store)
    clock.now += 9
    drawn.look(TreeUse(1, 1.0))
    drawn.write()
    assert rows(store) == {}


@pytest.mark.parametrize("before", [0, 1])
def test_code_that_logs_them_itself_has_them_alone(store: Path, clock: Clock, before: int) -> None:
    drawn, _ = begun(store)
    for number in range(3):
        if number == before:
            own = run_rows.Point("system/cpu_utilization_percentage", 7.0, 2000_000, 9)
            assert run_rows.add_points(store, RUN, [own], newest=1010_000 if before else None)
        clock.now += 10
        drawn.look(TreeUse(1, 1.0))
        drawn.write()
    assert len(rows(store)["system/cpu_utilization_percentage"]) == 1 + before


def test_a_store_that_cannot_be_written_now_gets_them_later(store: Path, clock: Clock) -> None:
    drawn, _ = begun(store)
    clock.now += 10
    drawn.look(TreeUse(1, 1.0))
    content = store.read_bytes()
    store.write_bytes(b"no database at all, for a moment")
    drawn.write()
    store.write_bytes(content)
    drawn.write()
    assert len(rows(store)["system/cpu_utilization_percentage"]) == 1


def test_a_job_without_a_run_has_none(tmp_path: Path, clock: Clock) -> None:
    drawn = Curves(tmp_path / "none.db", None, GpuUsage([]))
    clock.now += 10
    drawn.look(TreeUse(1, 1.0))
    drawn.write()
    assert not (tmp_path / "none.db").exists()
