"""Only points that the server hasn't are sent, whatever happened to the record of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from tests.tracking.export.conftest import Killed, Laptop, watch_requests


def test_points_that_arrived_before_a_kill_are_not_sent_again(
    laptop: Laptop, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = laptop.project.run(laptop.experiment, steps=2300)
    batches: list[str] = []

    def kill(method: str, path: str, send: Callable[[], Any]) -> Any:
        answer = send()
        batches.extend([path] if path.endswith("log-batch") else [])
        # The parameter, the tag, and two batches of points.
        if len(batches) == 4:
            raise Killed
        return answer

    with monkeypatch.context() as patch, pytest.raises(Killed):
        watch_requests(patch, kill)
        laptop.export()
    assert len(laptop.history(run)) == 2000

    summary = laptop.export()

    assert summary is not None and summary.metric_rows == 300
    assert len(laptop.history(run)) == 2300


def test_values_that_are_no_numbers_arrive(laptop: Laptop) -> None:
    run = laptop.project.run(laptop.experiment, end=None, steps=0)
    for step, value in enumerate((math.nan, math.inf, -0.0)):
        laptop.client.log_metric(run, "odd", value, timestamp=1, step=step)
    laptop.export()
    laptop.client.log_metric(run, "odd", math.nan, timestamp=1, step=9)
    laptop.export()
    values = [value for _, value in laptop.history(run, "odd")]
    assert [math.isnan(value) for value in values] == [True, False, False, True]
    assert values[1] > 1e308


def test_a_store_whose_rows_were_numbered_anew_sends_nothing_twice(laptop: Laptop) -> None:
    run = laptop.project.run(laptop.experiment, end=None, steps=1200)
    laptop.export()
    laptop.project.log(run, range(1200, 1500))
    columns = "key, value, timestamp, run_uuid, step, is_nan"
    laptop.project.sql("CREATE TABLE copy AS SELECT rowid - 7 AS n, * FROM metrics")
    laptop.project.sql("DELETE FROM metrics")
    laptop.project.sql(f"INSERT INTO metrics (rowid, {columns}) SELECT n, {columns} FROM copy")
    laptop.project.sql("DROP TABLE copy")

    summary = laptop.export()

    assert summary is not None and summary.metric_rows == 300
    assert len(laptop.history(run)) == 1500
