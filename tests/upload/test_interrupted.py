"""Stopped at any request, before or after it was done, the next upload does the rest."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from remote.errors import StoreError
from remote.upload.server import Server
from tests.upload.conftest import Far, Stopped


def test_it_can_be_stopped_anywhere(far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = far.project.run(far.experiment, steps=2300)
    child = far.project.run(far.experiment, end=None)
    far.project.client.set_tag(child, "mlflow.parentRunId", parent)
    deleted = far.project.run(far.experiment)
    far.project.client.delete_run(deleted)

    stopped = upload_in_steps(far, monkeypatch)

    assert stopped > 10
    assert len(far.runs()) == 3
    assert [run.data.tags["remote.source_run"] for run in far.runs(view=2)] == [deleted]
    there = far.run_of(parent)
    assert len(far.there.get_metric_history(there.info.run_id, "loss")) == 2300
    assert there.data.tags["colour"] == "red" and there.info.status == "FINISHED"
    assert far.run_of(child).data.tags["mlflow.parentRunId"] == there.info.run_id


def test_changes_can_be_stopped_anywhere(far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    run = far.project.run(far.experiment, end=None)
    far.push()
    far.project.client.set_tag(run, "colour", "green")
    far.project.client.update_run(run, name="rainy")
    far.project.log(run, range(3, 6))
    far.project.client.set_terminated(run, "FINISHED", end_time=3_000_000)

    upload_in_steps(far, monkeypatch)

    there = far.run_of(run)
    assert (there.info.run_name, there.info.status) == ("rainy", "FINISHED")
    assert there.data.tags["colour"] == "green"
    assert len(far.there.get_metric_history(there.info.run_id, "loss")) == 6


def test_what_changes_while_it_is_stopped_is_no_conflict(
    far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = far.project.run(far.experiment)
    finished: list[int] = []
    for number in range(6):
        far.project.client.set_tag(run, "colour", f"c{number}")
        far.project.client.update_run(run, name=f"n{number}")
        with monkeypatch.context() as patch, contextlib.suppress(Stopped):
            stop_at(patch, 4 if number == 0 else 1 + number % 3, after=True)
            far.push()
            finished.append(number)

    assert len(finished) < 3
    assert far.push().conflicts == ()
    (there,) = far.runs()
    assert (there.data.tags["colour"], there.info.run_name) == ("c5", "n5")


def test_renamed_after_it_was_made_and_before_that_was_known(
    far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = far.project.run(far.experiment)
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        stop_after(patch, "runs/create", 1)
        far.push()
    far.project.client.update_run(run, name="rainy")

    assert far.push().conflicts == ()
    (there,) = far.runs()
    assert there.info.run_name == "rainy"


def test_new_metrics_sent_before_it_was_stopped_arent_sent_again(
    far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = far.project.run(far.experiment, end=None, steps=1200)
    far.push()
    far.project.log(run, range(1200, 4200))
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        stop_after(patch, "runs/log-batch", 3)
        far.push()

    assert far.push().metric_rows == 1000


def test_metrics_sent_before_it_was_stopped_arent_sent_again(
    far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    far.project.run(far.experiment, steps=5000)
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        stop_after(patch, "runs/log-batch", 5)
        far.push()

    assert far.push().metric_rows == 3000


def test_rows_that_come_again_arent_sent_again(far: Far) -> None:
    """Where the source's rows were numbered anew, the agent sends all of them."""
    run = far.project.run(far.experiment, end=None, steps=1200)
    far.push()
    far.project.log(run, range(1200, 1500))
    far.project.sql("CREATE TABLE copy AS SELECT rowid + 7 AS n, * FROM metrics")
    far.project.sql("DELETE FROM metrics")
    columns = "key, value, timestamp, run_uuid, step, is_nan"
    far.project.sql(f"INSERT INTO metrics (rowid, {columns}) SELECT n, {columns} FROM copy")
    far.project.sql("DROP TABLE copy")

    assert far.push().metric_rows == 300


def test_a_delta_that_doesnt_follow_is_refused(far: Far) -> None:
    far.project.run(far.experiment)
    far.push()
    old = far.delta()
    kept = old.rename(old.with_suffix(".old"))
    far.project.run(far.experiment)
    far.push()
    with pytest.raises(StoreError, match="doesn't follow"):
        far.apply(kept)


def test_two_uploads_at_once(far: Far) -> None:
    from remote.upload.opening import alone

    with alone(far.base), pytest.raises(StoreError, match="Another merge"):
        far.push()


def upload_in_steps(far: Far, monkeypatch: pytest.MonkeyPatch, at_once: int = 2) -> int:
    """Stopped again and again, at the second write: before it, and the next time after it."""
    stopped = 0
    for after in [False, True] * 100:
        try:
            with monkeypatch.context() as patch:
                stop_at(patch, at_once, after=after)
                far.push()
            return stopped
        except Stopped:
            stopped += 1
    raise AssertionError("It never comes to its end.")


def stop_at(patch: pytest.MonkeyPatch, number: int, *, after: bool) -> None:
    """Stopped at that request which writes, before it is sent or after it was done."""
    stop_when(patch, lambda method, path, count: count == number, after=after)


def stop_after(patch: pytest.MonkeyPatch, path: str, number: int) -> None:
    seen: list[str] = []

    def now(method: str, asked: str, count: int) -> bool:
        seen.append(asked)
        return asked == path and seen.count(path) == number

    stop_when(patch, now, after=True)


def stop_when(
    patch: pytest.MonkeyPatch, now: Callable[[str, str, int], bool], *, after: bool
) -> None:
    answer = Server._answer
    count = 0

    def stopping(self: Server, method: str, path: str, **rest: Any) -> Any:
        nonlocal count
        writes = method != "GET" and not path.endswith("/search")
        count += writes
        stop = writes and now(method, path, count)
        if stop and not after:
            raise Stopped
        result = answer(self, method, path, **rest)
        if stop:
            raise Stopped
        return result

    patch.setattr(Server, "_answer", stopping)
