"""Metric files, read by the column and by the line, and their rows in the delta."""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remote.tracking.filestore import metric_history
from remote.tracking.filestore.delta_output import DeltaOutput
from remote.tracking.filestore.layout import Unreadable, open_file

NUMBERS = st.one_of(st.floats(), st.sampled_from([0.0, 1.0, -1.0]))
POINTS = st.tuples(st.integers(-5, 5), NUMBERS, st.integers(-3, 3))


@given(st.lists(POINTS, min_size=1, max_size=250), st.booleans())
def test_metrics_by_column_are_those_by_line(points, steps):
    block = "".join(
        f"{time} {value} {step}\n" if steps or step else f"{time} {value}\n"
        for time, value, step in points
    ).encode()
    slow, bad = metric_history._by_line(block)
    fast = metric_history._by_column(block)
    assert bad == 0 and (fast is not None or not steps)
    if fast is not None:
        assert (fast.times, fast.values, fast.steps) == (slow.times, slow.values, slow.steps)
        assert fast.nans == slow.nans
    # MLflow's rule: the first of the greatest (step, timestamp, value), where NaN counts as 0.
    rows = list(zip(slow.steps, slow.times, slow.values))
    at = rows.index(max(rows))
    assert slow.latest() == (*rows[at], slow.nans is not None and slow.nans[at])


@given(st.text("0123456789 .-e\nnaif_\r", max_size=60))
def test_what_is_read_by_column_is_read_so_by_line(text):
    block = text.encode() + b"\n"
    fast = metric_history._by_column(block)
    if fast is not None and "\r" not in text:
        slow, bad = metric_history._by_line(block)
        assert bad == 0 and repr(tuple(fast)) == repr(tuple(slow))


@pytest.mark.parametrize("count", [1, 99, 100, 101, 250])
def test_points_are_written_as_they_are(count):
    with closing(sqlite3.connect(":memory:")) as database:
        output = DeltaOutput(database, {})
        nans = [step == 3 for step in range(count)]
        points = metric_history.Points(
            range(count), [step / 7 for step in range(count)], range(count), nans
        )
        output.add_points("loss", "r", points)
        columns = "key, value, timestamp, run_uuid, step, is_nan"
        found = database.execute(f"SELECT {columns} FROM metrics ORDER BY step").fetchall()
    assert found == [("loss", step / 7, step, "r", step, int(step == 3)) for step in range(count)]


@pytest.mark.parametrize("count", [100])
def test_old_versions_of_sqlite_take_a_statement(count):
    from remote.tracking.filestore.delta_output import _insert_points

    statement = _insert_points(count)
    numbers = {int(number) for number in re.findall(r"\?(\d+)", statement)}
    others = re.findall(r"\?(?!\d)", statement)
    assert numbers == {1, 2} and len(others) == 4 * count <= 997


def test_the_latest_may_be_in_any_block(tmp_path, monkeypatch):
    monkeypatch.setattr(metric_history, "BLOCK", 32)
    path = tmp_path / "loss"
    for greatest in (0, 10, 29):
        steps = [100 if at == greatest else at for at in range(30)]
        path.write_text("".join(f"{at} 0.5 {step}\n" for at, step in enumerate(steps)))
        history = metric_history.History(str(path), is_over=False)
        assert [step for points in history for step in points.steps] == steps
        assert history.latest == (100, greatest, 0.5, False)


def test_what_became_a_link_or_a_pipe_since_is_not_opened(tmp_path):
    (tmp_path / "secret").write_text("x")
    (tmp_path / "link").symlink_to("secret")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError):
        open_file(str(tmp_path / "link"))
    with pytest.raises(Unreadable, match="it isn't a file"):
        open_file(str(tmp_path / "pipe"))


def test_a_file_that_grows_while_it_is_read_is_read_to_its_end(tmp_path):
    path = tmp_path / "loss"
    path.write_text("1 0.5 1\n" * 10)
    history = iter(metric_history.History(str(path), is_over=False))
    with path.open("a") as file:
        file.write("1 0.5 2\n1 0.")
    assert [step for points in history for step in points.steps] == [1] * 10 + [2]
