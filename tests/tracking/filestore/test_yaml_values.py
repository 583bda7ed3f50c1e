"""The readers of single files: the fast one for plain YAML, metric lines, times."""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from remote.tracking.filestore import metric_history, yaml_mapping, yaml_values
from remote.tracking.filestore.delta_output import Output
from remote.tracking.filestore.scan import Unreadable, open_file

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(),
    st.text(max_size=12),
    st.text("0123456789abcdefx_.:-+eE", max_size=34),
    st.from_regex(r"\A[0-9a-f]{32}\Z"),
    st.from_regex(r"\A(file://)?(/[a-z0-9 _.%#:-]{0,6}){1,4}\Z"),
    st.sampled_from(["null", "~", "yes", "No", "on", "y", "=", "<<", "2020-01-01", "1:30", "0x1f"]),
    st.sampled_from(["0b" + "01" * 15, "1e5", "1_0", "007", ".5", "a: b", "a #b", "[]", "- a"]),
)
KEYS = st.one_of(st.from_regex(r"\A[A-Za-z_.]{1,8}\Z"), st.text(max_size=4), SCALARS)


@given(
    st.dictionaries(KEYS, st.recursive(SCALARS, lambda x: st.dictionaries(KEYS, x), max_leaves=6))
)
def test_the_fast_reader_is_right_about_what_mlflow_dumps_or_declines(content):
    text = yaml.safe_dump(content, allow_unicode=True, default_flow_style=False)
    found = yaml_mapping.plain(text.encode())
    assert found is None or repr(found) == repr(yaml.safe_load(text))


LINES = st.text("ab:' \n-#[]{}&*!|>%0.1e/nulyo\t,?\"\\~", max_size=40)


@given(LINES.map(lambda text: text + "\n"))
@example("a:\n  b: 1\n  c:\n    d: x\ne: 2\n")
@example("a: 0b" + "01" * 15 + "\n")
@example("a: \n")
@example("a: b: c\n")
@example("a: 'b' c\n")
@example("a:\n  b: 1\n   c: 2\n")
@example("a: 1\n  b: 2\n")
@example("a:\nb: 1\na:\n  c: 1\n")
def test_the_fast_reader_is_right_about_anything_or_declines(text):
    found = yaml_mapping.plain(text.encode())
    if found is not None:
        assert repr(found) == repr(yaml.safe_load(text))


@pytest.mark.parametrize(
    "text",
    [
        "run_id: 0123456789abcdef0123456789abcdef\nstatus: 3\nend_time: null\ntags: []\n",
        "artifact_uri: file:///home/ada/mlruns/0/x/artifacts\nname: ''\nexperiment_id: '0'\n",
        "name: sunny day 1\nvalid: true\ntags:\n  mlflow.data.context: train\nstep: -5\n",
    ],
)
def test_what_mlflow_usually_writes_needs_no_pyyaml(text):
    assert yaml_mapping.plain(text.encode()) == yaml.safe_load(text)


def test_without_pyyaml_the_rest_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)
    path = tmp_path / "meta.yaml"
    path.write_text("a: 1\n")
    assert yaml_mapping.read_mapping(str(path)) == {"a": 1}
    path.write_text('a: "1"\n')
    with pytest.raises(Unreadable, match="PyYAML isn't there"):
        yaml_mapping.read_mapping(str(path))


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
        output = Output(database, {}, registry=False)
        nans = [step == 3 for step in range(count)]
        points = metric_history.Points(
            range(count), [step / 7 for step in range(count)], range(count), nans
        )
        output.add_points("loss", "r", points)
        found = database.execute("SELECT * FROM metrics ORDER BY step").fetchall()
    assert found == [("loss", step / 7, step, "r", step, int(step == 3)) for step in range(count)]


@pytest.mark.parametrize("count", [100])
def test_old_versions_of_sqlite_take_a_statement(count):
    from remote.tracking.filestore.delta_output import _insert_points

    numbers = {int(number) for number in re.findall(r"\?(\d+)", _insert_points(count))}
    assert numbers == set(range(1, 3 + 4 * count)) and max(numbers) <= 999


@pytest.mark.parametrize(
    "moment, expected",
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-11-21T11:05:53.308Z", 1795259153308),
        ("2026-11-21T11:05:53.308999999Z", 1795259153308),
        ("2026-11-21T11:05:53.3Z", 1795259153300),
        ("2026-11-21T12:35:53+01:30", 1795259153000),
        ("1969-12-31T23:59:59.999Z", -1),
    ],
)
def test_times_are_exact(moment, expected):
    assert yaml_values.milliseconds({"at": moment}, "at_ms", "at") == expected
    assert yaml_values.milliseconds({"at": moment, "at_ms": 5}, "at_ms", "at") == 5


@pytest.mark.parametrize("moment", ["soon", "2026-13-45T00:00:00", "٢٠٢٦-11-21T11:05:53Z"])
def test_other_times_are_refused(moment):
    with pytest.raises(Unreadable):
        yaml_values.milliseconds({"at": moment}, "at_ms", "at")


def test_a_number_out_of_the_databases_range_is_refused():
    for number in (2**63, -(2**63) - 1, float("inf"), float("nan"), "x", [1]):
        with pytest.raises(Unreadable):
            yaml_values.whole({"n": number}, "n")
    assert yaml_values.whole({"n": 2**63 - 1}, "n") == 2**63 - 1


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
