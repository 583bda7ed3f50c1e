"""A delta of a file store as a whole: whatever stands in the files, and merged into a local store."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from remote import errors
from remote.tracking import filestore, merge
from remote.tracking.filestore import layout
from tests.stores import empty_store
from tests.tracking.filestore.file_stores import POINT, Delta, FileStore, big_store

TOP = Path(errors.__file__).parent.parent


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    here = tmp_path_factory.mktemp("empty") / "here"
    empty_store(here)
    return here


class Here:
    """A local store that pulls from a file store."""

    def __init__(self, store: FileStore, empty: Path) -> None:
        self.store, self.root = store, store.project.parent / "here"
        shutil.copytree(empty, self.root)

    @property
    def base(self) -> Path:
        return self.root / "base.db"

    def delta(self) -> Delta:
        return Delta(self.store, merge.pull_state(self.base, store=self.root / "mlflow.db"))

    def merge(self, delta: Delta) -> merge.MergeSummary:
        return merge.merge(
            delta.file,
            store=self.root / "mlflow.db",
            artifact_root=self.root / "mlruns",
            base=self.base,
            source="far",
        )

    def rows(self, query: str) -> list[tuple]:
        with closing(sqlite3.connect(self.root / "mlflow.db")) as database:
            assert database.execute("PRAGMA foreign_key_check").fetchall() == []
            return database.execute(query).fetchall()


@pytest.fixture
def here(store, empty):
    return Here(store, empty)


def test_a_line_on_the_border_of_two_blocks_is_whole(store):
    run = store.run(1)
    lines = [f"{1_700_000_000_000 + step} {step / 7!r} {step}" for step in range(60_000)]
    store.write(f"0/{run}/metrics/loss", "\n".join(lines) + "\n")
    assert (store.root / f"0/{run}/metrics/loss").stat().st_size > 2 << 20
    found = dict(Delta(store).rows("metrics", "step, value"))
    assert found == {step: step / 7 for step in range(60_000)}


def test_an_id_with_a_path_in_it_is_not_taken(store, here):
    store.write("0/evil/meta.yaml", "run_id: ../../etc\nstatus: 3\n")
    uri = (store.root / "0/a b/artifacts").as_uri()
    store.write("0/a b/meta.yaml", f"artifact_uri: {uri}\nstatus: 3\n")
    delta = here.delta()
    assert delta.left_out == [
        "runs/evil: meta.yaml can't be read (it is of another run, ../../etc)"
    ]
    summary = here.merge(delta)
    assert [each.id for each in summary.refused] == ["a b"]
    assert here.rows("SELECT * FROM runs") == []


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.dates()
    | st.binary(max_size=3)
    | st.sampled_from(["2026-13-45T00:00:00Z", "DATASET", "MODEL", "READY", "\x00", "9" * 5000]),
    lambda inside: st.lists(inside, max_size=2) | st.dictionaries(st.text(max_size=3), inside),
    max_leaves=4,
)
FIELDS = (
    "status tags source_id source_type step name digest start_time value source"
    " creation_timestamp artifact_uri artifact_location profile user_id"
).split()
FILES = (
    "0/r/meta.yaml 0/r/inputs/a/meta.yaml 0/r/outputs/b/meta.yaml 0/datasets/a/meta.yaml"
    " 0/models/m/meta.yaml 5/meta.yaml"
).split()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_stands_in_the_files_the_rest_arrives(tmp_path_factory, data):
    store = FileStore(tmp_path_factory.mktemp("any"))
    store.experiment()
    run = store.run(1)
    for name in FILES:
        content = data.draw(st.dictionaries(st.sampled_from(FIELDS), ANYTHING, max_size=6))
        store.write(name, yaml.safe_dump(content, allow_unicode=True))
    assert run in Delta(store).ids("run")
    shutil.rmtree(store.project)


def test_references_are_not_followed(store):
    """A few lines can refer to one another so that they unfold to more than any memory holds."""
    lines = [f"a0: &a0 [{'x' * 100}]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 20)}]" for n in range(1, 12)]
    store.write("0/bomb/meta.yaml", "\n".join([*lines, "status: 3", ""]))
    store.write("0/ring/meta.yaml", "a: &a\n- *a\nstatus: 3\n")
    run = store.run(1)
    delta = Delta(store)
    assert delta.ids("run") == [run]
    assert delta.left_out == [
        "runs/bomb: meta.yaml can't be read (it isn't YAML as MLflow writes it)",
        "runs/ring: meta.yaml can't be read (it isn't YAML as MLflow writes it)",
    ]


def test_memory_does_not_follow_the_size_of_a_metric(store, tmp_path):
    run = store.run(1)
    block = "".join(f"{1_700_000_000_000 + step} 0.5 {step}\n" for step in range(50_000))
    path = store.root / f"0/{run}/metrics/loss"
    path.parent.mkdir()
    with path.open("w") as file:
        for _ in range(20):
            file.write(block)
    program = (
        "import sys; from pathlib import Path; from remote.tracking import filestore;"
        "filestore.write(Path(sys.argv[1]), Path(sys.argv[2]), {});"
        # Not ru_maxrss, which begins with what the parent had when it forked.
        "print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(store.root), str(tmp_path / "out")],
        env={**os.environ, "PYTHONPATH": str(TOP)},
        check=True,
        capture_output=True,
        timeout=60,
    )
    assert int(done.stdout) < 100 * 1024  # kB, for a file of 28 MB


def test_it_is_merged_and_grows(store, here):
    run = store.run(1, status=1, end_time="null")
    path = store.write(f"0/{run}/metrics/a/loss", POINT + POINT)
    store.write(f"0/{run}/params/lr", "0.1")
    store.write(f"0/{run}/tags/colour", "red")
    store.write("0/datasets/aa/meta.yaml", "digest: x\nname: d\nsource: s\nsource_type: code\n")
    store.write(f"0/{run}/inputs/bb/meta.yaml", "source_id: aa\nsource_type: DATASET\ntags: {}\n")
    summary = here.merge(here.delta())
    assert (summary.new_runs, summary.metric_rows, summary.refused) == (1, 1, ())
    assert [each.remote for each in summary.artifacts] == [f"mlruns/0/{run}/artifacts"]
    with path.open("a") as file:
        file.write("1700000000009 nan 9\n")
    (store.root / f"0/{run}/tags/colour").unlink()
    store.run(1)
    summary = here.merge(here.delta())
    assert (summary.new_runs, summary.grown_runs, summary.metric_rows) == (0, 1, 1)
    assert here.rows("SELECT status FROM runs") == [("FINISHED",)]
    assert here.rows("SELECT key FROM tags") == []
    assert here.rows("SELECT key, step, value, is_nan FROM latest_metrics") == [
        ("a/loss", 9, 0.0, 1)
    ]
    assert here.rows(
        "SELECT count(*) FROM inputs i JOIN datasets d ON i.source_id = dataset_uuid"
    ) == [(1,)]


def test_a_merge_that_stops_before_the_metrics_loses_none(store, here, monkeypatch):
    from remote.tracking.merge import stage

    run = store.run(1)
    store.write(f"0/{run}/metrics/loss", POINT)
    store.age()

    def stop(session):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stage, "append_rows", stop)
        with pytest.raises(KeyboardInterrupt):
            here.merge(here.delta())
    assert here.rows("SELECT count(*) FROM runs") == [(1,)]
    assert here.rows("SELECT count(*) FROM metrics") == [(0,)]
    here.merge(here.delta())
    assert here.rows("SELECT count(*) FROM metrics") == [(1,)]


def test_a_third_of_the_runs_is_a_third_of_the_work(tmp_path):
    """What is read follows what is new: counted in bytes, which doesn't depend on the machine."""
    store = big_store(tmp_path, runs=30, metrics=2, points=200)
    store.age()
    known = Delta(store).after()
    full = read_by(lambda: Delta(store))
    for number in range(10):
        store.write(f"0/{number:032x}/tags/team", "new")
    assert read_by(lambda: Delta(store, known)) < full * 0.45


def read_by(work) -> int:
    total, opened = 0, layout.open_file

    def counted(path: str) -> int:
        nonlocal total
        total += os.stat(path).st_size
        return opened(path)

    with pytest.MonkeyPatch.context() as patch:
        for module in ("layout", "metric_history"):
            patch.setattr(f"remote.tracking.filestore.{module}.open_file", counted)
        work()
    return total


def test_a_delta_that_can_not_be_written_is_told(store, tmp_path, monkeypatch):
    def full(out):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(filestore, "new_delta", full)
    with pytest.raises(errors.StoreError, match="can't be written to .*delta.db") as told:
        filestore.write(store.root, tmp_path / "delta.db", {})
    assert told.value.hint == "Is that disk full?"
