"""What a delta of a file store holds: old layouts, what is new, what is damaged, what is hostile."""

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
from remote.errors import StoreError
from remote.tracking import filestore, merge
from remote.tracking.filestore import layout
from remote.tracking.filestore.delta_output import DeltaOutput
from tests.stores import empty_store
from tests.tracking.filestore.file_stores import Delta, FileStore, big_store

TOP = Path(errors.__file__).parent.parent
POINT = "1700000000000 0.5 1\n"


@pytest.fixture
def store(tmp_path):
    store = FileStore(tmp_path / "it's a 100% #1")
    store.experiment()
    return store


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


# What is a file store


@pytest.mark.parametrize(
    "name, expected",
    [("0/meta.yaml", True), (".trash/5/meta.yaml", True), ("0/run/meta.yaml", False)]
    + [("x/meta.yaml", False), ("models/m/meta.yaml", False), ("meta.yaml", False)],
)
def test_a_file_store_has_an_experiment(tmp_path, name, expected):
    store = FileStore(tmp_path)
    store.write(name, "name: x\n")
    assert filestore.is_file_store(store.root) is expected


def test_what_is_no_file_store_is_refused(tmp_path):
    with pytest.raises(StoreError, match="isn't an MLflow file store"):
        filestore.write(tmp_path, tmp_path / "out", {})
    assert not filestore.is_file_store(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    assert not filestore.is_file_store(tmp_path / "file")


# Old layouts


def test_a_run_of_mlflow_1(store):
    run = store.run(
        0xA1,
        artifact_uri="./mlruns/0/" + f"{0xA1:032x}" + "/artifacts",
        run_id=...,
        run_name=...,
        name="''",
        source_type=3,
        source_name="'https://example.org/x#y: z'",
        source_version="0123456789abcdef0123456789abcdef01234567",
        entry_point_name="main",
        status=5,
        lifecycle_stage=...,
    )
    store.write(f"0/{run}/tags/mlflow.runName", "calm\n")
    delta = Delta(store)
    assert delta.left_out == []
    assert delta.rows("runs") == [
        (
            run,
            "calm\n",
            "PROJECT",
            "https://example.org/x#y: z",
            "main",
            "ada",
            "KILLED",
            1_700_000_001_000,
            1_700_000_009_000,
            "0123456789abcdef0123456789abcdef01234567",
            "active",
            f"{store.root}/0/{run}/artifacts",
            0,
            None,
        )
    ]
    assert delta.rows("tags", "key, value") == [("mlflow.runName", "calm\n")]


@pytest.mark.parametrize(
    "status, expected",
    [(1, "RUNNING"), (2, "SCHEDULED"), (3, "FINISHED"), (4, "FAILED"), (5, "KILLED")]
    + [(..., "RUNNING")],
)
def test_a_status_is_a_number(store, status, expected):
    store.run(1, status=status)
    assert Delta(store).rows("runs", "status") == [(expected,)]


def test_metric_lines_without_a_step(store):
    run = store.run(1)
    store.write(f"0/{run}/metrics/two", "5 0.5\n6 0.25\n")
    store.write(f"0/{run}/metrics/mixed", "5 0.5\n6 1e3 7\n8 2 9 data abc\n")
    delta = Delta(store)
    assert delta.rows("metrics", "key, timestamp, value, step") == [
        ("mixed", 5, 0.5, 0),
        ("mixed", 6, 1000.0, 7),
        ("mixed", 8, 2.0, 9),
        ("two", 5, 0.5, 0),
        ("two", 6, 0.25, 0),
    ]
    assert delta.left_out == []


def test_an_experiment_in_the_trash_is_deleted_whatever_its_meta_says(store):
    store.experiment(7, name="old")
    run = store.run(1, 7)
    (store.root / ".trash").mkdir()
    (store.root / "7").rename(store.root / ".trash" / "7")
    delta = Delta(store)
    assert delta.rows("experiments", "experiment_id, lifecycle_stage") == [
        (0, "active"),
        (7, "deleted"),
    ]
    assert delta.rows("runs", "artifact_uri") == [(f"{store.root}/.trash/7/{run}/artifacts",)]


def test_a_moved_store_names_its_artifacts_where_they_are(store):
    run = store.run(1, artifact_uri="file:///home/a%20b/proj/mlruns/0/" + f"{1:032x}/artifacts")
    other = store.run(2, artifact_uri="s3://bucket/mlruns/0/x/artifacts")
    third = store.run(3, artifact_uri="/data/art/0/x/artifacts")
    assert dict(Delta(store).rows("runs", "run_uuid, artifact_uri")) == {
        run: f"{store.root}/0/{run}/artifacts",
        other: "s3://bucket/mlruns/0/x/artifacts",
        third: "/data/art/0/x/artifacts",
    }


def test_with_other_roots_paths_stay_as_they_are(store):
    run = store.run(1)
    delta = Delta(store, roots=["/somewhere"])
    assert delta.meta("roots") == ["/somewhere"]
    assert delta.rows("runs", "artifact_uri") == [
        ((store.root / "0" / run / "artifacts").as_uri(),)
    ]


def test_folders_without_meta_are_somebodys_artifacts(store):
    store.write("0/some-run/artifacts/model.bin", "x")
    store.write("5/other/artifacts/model.bin", "x")
    delta = Delta(store)
    assert (delta.ids("run"), delta.ids("experiment"), delta.left_out) == ([], ["0"], [])


@pytest.mark.parametrize(
    "files, names",
    [
        (["0/traces/tr-1/trace_info.yaml"], ["traces"]),
        (["models/net/meta.yaml"], ["registered models"]),
        (["0/traces/t/artifacts/x", "models/net/tags/x"], []),
    ],
)
def test_what_is_not_read_is_named_once(store, files, names):
    run = store.run(1)
    for file in files:
        store.write(file, "x: 1\n")
    delta = Delta(store)
    assert (delta.ids("run"), delta.left_out) == ([run], names)


def test_what_an_older_version_merged_and_this_one_does_not_read_is_not_gone(store):
    store.run(1)
    store.age()
    known = Delta(store).after()
    known["signatures"].update(trace={"tr-1": "1-x"}, registered_model={"net": "1-x"})
    assert Delta(store, known).gone() == []


# Incremental


def test_what_is_unchanged_is_not_even_opened(store):
    run = store.run(1)
    store.write(f"0/{run}/metrics/loss", POINT)
    store.write(f"0/{run}/params/lr", "0.1")
    store.age()
    known = Delta(store).after()
    for path in (store.root / "0" / run).rglob("*"):
        if path.is_file():
            stat = path.stat()
            path.write_bytes(b"?" * stat.st_size)
            os.utime(path, ns=(0, stat.st_mtime_ns))
    delta = Delta(store, known)
    assert delta.rows("entities") == [] and delta.left_out == []
    assert delta.counts["run"] == delta.counts["metric_rows"] == 0
    assert delta.after() == {**known, "token": "t"}


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "metrics" / "loss").open("a").write(POINT),
        lambda folder: (folder / "tags" / "colour").write_text("blue"),
        lambda folder: (folder / "tags" / "colour").unlink(),
        lambda folder: (folder / "params" / "new").write_text("1"),
        lambda folder: (folder / "tags" / "colour").rename(folder / "tags" / "color"),
        lambda folder: (folder / "meta.yaml").open("a").write("deleted_time: 5\n"),
    ],
)
def test_a_changed_run_is_sent_whole_and_others_are_not(store, change):
    runs = [store.run(number) for number in (1, 2)]
    for run in runs:
        store.write(f"0/{run}/metrics/loss", POINT + "1700000000001 0.25 2\n")
        store.write(f"0/{run}/params/lr", "0.1")
        store.write(f"0/{run}/tags/colour", "red")
    store.age()
    known = Delta(store).after()
    change(store.root / "0" / runs[0])
    delta = Delta(store, known)
    assert delta.rows("entities", "kind, id") == [("run", runs[0])]
    assert {run for (run,) in delta.rows("metrics", "run_uuid")} == {runs[0]}
    assert delta.counts["metric_rows"] >= 2
    assert delta.gone() == []


def test_artifacts_do_not_count(store):
    run = store.run(1)
    store.age()
    known = Delta(store).after()
    store.write(f"0/{run}/artifacts/metrics/x", "1")
    assert Delta(store, known).rows("entities") == []


def test_a_change_within_one_tick_of_the_clock_is_not_missed(store):
    run = store.run(1)
    path = store.write(f"0/{run}/tags/colour", "red")
    known = Delta(store).after()
    stat = path.stat()
    path.write_text("RED")
    os.utime(path, ns=(0, stat.st_mtime_ns))
    assert Delta(store, known).rows("tags", "value") == [("RED",)]


def test_a_running_run_is_always_sent_but_not_its_metrics_again(store):
    run = store.run(1, status=1)
    store.write(f"0/{run}/metrics/loss", POINT)
    store.write(f"0/{run}/tags/colour", "red")
    store.age()
    first = Delta(store)
    assert first.counts["metric_rows"] == 1
    again = Delta(store, first.after())
    assert again.ids("run") == [run]
    assert again.rows("tags", "key") == [("colour",)]
    assert again.counts["metric_rows"] == 0
    third = Delta(store, again.after())
    assert third.ids("run") == [run] and third.counts["metric_rows"] == 0


def test_what_is_gone_is_named(store):
    runs = [store.run(number) for number in (1, 2)]
    store.experiment(3, name="three")
    store.age()
    known = Delta(store).after()
    shutil.rmtree(store.root / "0" / runs[0])
    shutil.rmtree(store.root / "3")
    assert Delta(store, known).gone() == [("experiment", "3"), ("run", runs[0])]


def test_a_stopped_merge_gets_the_same_again(store):
    """The merge notes a run before its metrics; stopped in between, the metrics must come."""
    store.run(1)
    store.age()
    done = Delta(store).after()
    run = store.run(2)
    store.write(f"0/{run}/metrics/loss", POINT)
    store.age()
    stopped = Delta(store, done).after(finished=False)
    again = Delta(store, stopped)
    assert again.ids("run") == [run] and again.counts["metric_rows"] == 1
    assert Delta(store, again.after()).rows("entities") == []


def test_watermarks_of_a_database_mean_nothing_here(store):
    run = store.run(1)
    store.age()
    known = Delta(store).after()
    known["watermarks"] = {"metrics": {"rowid": 99, "guard": "0123456789abcdef"}}
    assert Delta(store, known).ids("run") == [run]
    known["format"] = -1
    assert Delta(store, known).meta("since") is None


def test_made_up_ids_are_always_the_same(store):
    run = store.run(1)
    store.write("0/datasets/aa/meta.yaml", "digest: x\nname: d\nsource: s\nsource_type: code\n")
    store.write(
        f"0/{run}/inputs/bb/meta.yaml",
        "source_id: aa\nsource_type: DATASET\ntags:\n  mlflow.data.context: train\n",
    )
    first, second = Delta(store), Delta(store)
    for table in ("datasets", "inputs", "input_tags"):
        assert first.rows(table) == second.rows(table) != []
    ((uuid, dataset),) = first.rows("inputs", "input_uuid, source_id")
    assert first.rows("datasets", "dataset_uuid") == [(dataset,)]
    assert first.rows("input_tags") == [(uuid, "mlflow.data.context", "train")]


def test_equal_datasets_of_two_stores_are_two(store, tmp_path):
    other = FileStore(tmp_path / "other")
    other.experiment()
    for each in (store, other):
        each.write("0/datasets/aa/meta.yaml", "digest: x\nname: d\n")
    uuids = {Delta(each).rows("datasets", "dataset_uuid")[0] for each in (store, other)}
    assert len(uuids) == 2


# Being written to


def test_a_half_written_line_comes_the_next_time(store):
    run = store.run(1, status=1)
    path = store.write(f"0/{run}/metrics/loss", POINT + "1700000000001 0.25")
    delta = Delta(store)
    assert delta.rows("metrics", "step") == [(1,)] and delta.left_out == []
    assert delta.rows("latest_metrics", "step") == [(1,)]
    with path.open("a") as file:
        file.write(" 12\n")
    assert Delta(store, delta.after()).rows("metrics", "step") == [(1,), (12,)]


def test_the_last_line_of_a_finished_run_needs_no_end(store):
    run = store.run(1)
    store.write(f"0/{run}/metrics/loss", POINT.strip())
    assert Delta(store).counts["metric_rows"] == 1


def test_a_line_on_the_border_of_two_blocks_is_whole(store):
    run = store.run(1)
    lines = [f"{1_700_000_000_000 + step} {step / 7!r} {step}" for step in range(60_000)]
    store.write(f"0/{run}/metrics/loss", "\n".join(lines) + "\n")
    assert (store.root / f"0/{run}/metrics/loss").stat().st_size > 2 << 20
    found = dict(Delta(store).rows("metrics", "step, value"))
    assert found == {step: step / 7 for step in range(60_000)}


def test_a_model_whose_run_began_after_the_runs_were_listed_comes_again(store, monkeypatch):
    """Its metrics name a run that isn't in the delta: the merge would drop them for good."""
    model = "m-" + "1" * 32
    store.write(f"0/models/{model}/meta.yaml", f"model_id: {model}\nstatus: 2\n")
    store.write(f"0/models/{model}/metrics/acc", f"1 0.5 2 {1:032x}\n1 0.5 2 {2:032x}\n")
    store.run(1)
    store.run(2)
    store.age()
    listed = DeltaOutput.subfolders
    monkeypatch.setattr(
        DeltaOutput,
        "subfolders",
        lambda output, path: listed(output, path)[: 1 + ("models" in path)],
    )
    known = Delta(store).after()
    monkeypatch.undo()
    assert Delta(store, known).ids("model") == [model]
    assert Delta(store, Delta(store, known).after()).ids("model") == []


# Damaged


def test_one_damaged_run_does_not_stop_the_others(store):
    good = store.run(1)
    junk = {
        "empty": b"",
        "binary": b"\x00\xff\xfe\x80" * 50,
        "list": b"- a\n- b\n",
        "open": b"name: 'no end\n",
        "python": b"run_id: !!python/object/apply:os.system ['touch /tmp/x']\n",
        "other": b"run_id: somebody\n",
        "status": b"status: 99\n",
        "time": b"status: 3\nstart_time: soon\n",
        "huge": b"status: 3\nstart_time: " + b"9" * 40 + b"\n",
        "date": b"status: 3\nstart_time: 2020-13-45\n",
        "map": b"status: 3\nuser_id: {a: b}\n",
        "half": b'status: 3\nuser_id: "\\ud800"\n',
        "deep": b"a: " + b"[" * 50_000 + b"\n",
    }
    for name, content in junk.items():
        store.write(f"0/{name}/meta.yaml", content)
    delta = Delta(store)
    assert delta.ids("run") == [good]
    told = {line.split(": ")[0] for line in delta.left_out}
    assert told == {f"runs/{name}" for name in junk}
    assert all("meta.yaml can't be read (" in line for line in delta.left_out)


def test_a_run_that_was_damaged_since_is_not_gone(store):
    run = store.run(1)
    store.age()
    known = Delta(store).after()
    store.write(f"0/{run}/meta.yaml", "")
    delta = Delta(store, known)
    assert delta.gone() == [] and delta.left_out == [
        f"runs/{run}: meta.yaml can't be read (it is empty)"
    ]
    store.run(1)
    assert Delta(store, known).ids("run") == [run]


def test_a_damaged_part_costs_that_part_alone(store):
    run = store.run(1)
    store.write(f"0/{run}/params/binary", b"\xff\xfe")
    store.write(f"0/{run}/params/long", b"x" * (25 << 20))
    store.write(f"0/{run}/params/lr", "0.1")
    store.write(
        f"0/{run}/metrics/loss", POINT + "what\n1 2 3 4\n1 x 3\n" + "9" * 30 + " 1 1\n5 1 5\n"
    )
    store.write(f"0/{run}/metrics/endless", b"1" * (3 << 20))
    store.write(f"0/{run}/inputs/aa/meta.yaml", "[]")
    delta = Delta(store)
    assert delta.rows("params", "key") == [("lr",)]
    assert delta.rows("metrics", "key, step") == [("loss", 1), ("loss", 3), ("loss", 5)]
    assert sorted(line.split(": ", 1)[1] for line in delta.left_out) == [
        "3 lines of metrics/loss can't be read",
        "inputs/aa/meta.yaml can't be read (it isn't YAML as MLflow writes it)",
        "metrics/endless can't be read (it has a line of more than a megabyte)",
        "params/binary can't be read (it isn't text)",
        "params/long can't be read (it has more than 25165824 bytes)",
    ]


def test_a_damaged_experiment_leaves_out_its_runs_and_nothing_is_gone(store):
    store.experiment(2, name="two")
    run = store.run(1, 2)
    store.age()
    known = Delta(store).after()
    store.write("2/meta.yaml", b"\x00")
    delta = Delta(store, known)
    assert (delta.ids("run"), delta.gone()) == ([], [])
    assert delta.left_out == [
        "experiments/2: meta.yaml can't be read, so its runs are left out"
        " (it isn't YAML as MLflow writes it)"
    ]
    (store.root / "2" / "meta.yaml").unlink()
    assert Delta(store, known).left_out == [
        "experiments/2: meta.yaml is missing, so its runs are left out"
    ]
    assert ("run", run) not in Delta(store, known).gone()


def test_what_may_not_be_read_is_told_and_read_once_it_may(store, monkeypatch):
    run = store.run(1)
    path = store.write(f"0/{run}/params/lr", "0.1")
    store.age()
    opened = layout.open_file

    def refuse(name: str) -> int:
        if name == str(path):
            raise PermissionError(13, "Permission denied", name)
        return opened(name)

    with monkeypatch.context() as patch:
        patch.setattr(layout, "open_file", refuse)
        delta = Delta(store)
    assert delta.left_out == [f"runs/{run}: params/lr can't be read (Permission denied)"]
    assert Delta(store, delta.after()).rows("params", "key") == [("lr",)]


def test_what_may_not_be_listed_is_not_gone(store, monkeypatch):
    store.run(1)
    store.age()
    known = Delta(store).after()
    listed = os.scandir

    def refuse(folder: str):
        if folder.endswith("mlruns/0"):
            raise PermissionError(13, "Permission denied", folder)
        return listed(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    delta = Delta(store, known)
    assert delta.gone() == []
    assert delta.left_out == [f"{store.root}/0: it can't be listed (Permission denied)"]


def test_many_troubles_are_counted(store):
    for number in range(250):
        store.write(f"0/{number}/meta.yaml", "")
    left_out = Delta(store).left_out
    assert len(left_out) == 201 and left_out[-1] == "and 50 more"


# Hostile


def test_links_are_not_followed(store, tmp_path):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("s3cr3t")
    (secret / "meta.yaml").write_text("run_id: linked\nstatus: 3\n")
    run = store.run(1)
    store.write(f"0/{run}/params/lr", "0.1")
    (store.root / f"0/{run}/params/file").symlink_to(secret / "key")
    (store.root / f"0/{run}/params/folder").symlink_to(secret)
    (store.root / f"0/{run}/tags").symlink_to(secret)
    (store.root / "0/linked").symlink_to(secret)
    (store.root / "9").symlink_to(secret)
    (store.root / "models").symlink_to(secret)
    delta = Delta(store)
    assert b"s3cr3t" not in delta.file.read_bytes()
    assert delta.ids("run") == [run] and delta.ids("experiment") == ["0"]
    assert delta.left_out == [
        "experiments/9: it is a link",
        f"runs/{run}: params/file is a link",
        f"runs/{run}: params/folder is a link",
        f"runs/{run}: tags is a link",
    ]


def test_a_store_that_is_itself_reached_by_a_link_is_fine(store, tmp_path):
    run = store.run(1)
    link = tmp_path / "job" / "mlruns"
    link.parent.mkdir()
    link.symlink_to(store.root)
    assert Delta(link).ids("run") == [run]


def test_a_pipe_is_not_waited_for(store):
    run = store.run(1)
    (store.root / f"0/{run}/params").mkdir()
    os.mkfifo(store.root / f"0/{run}/params/pipe")
    os.mkfifo(store.root / "0/meta-pipe")
    assert Delta(store).left_out == [f"runs/{run}: params/pipe is not a file"]


def test_odd_names_are_data(store):
    run = store.run(1)
    for name in ("it's", 'a"b', "a;DROP TABLE runs", "%00", "ä/ö", "x" * 250):
        store.write(f"0/{run}/params/{name}", "v")
    (store.root / "0" / run / "tags").mkdir()
    with open(os.fsencode(f"{store.root}/0/{run}/tags/") + b"\xff", "w") as file:
        file.write("v")
    delta = Delta(store)
    assert {key for (key,) in delta.rows("params", "key")} == {
        "it's",
        'a"b',
        "a;DROP TABLE runs",
        "%00",
        "ä/ö",
        "x" * 250,
    }
    assert delta.left_out == [f"runs/{run}: tags/\\udcff can't be read (its name isn't text)"]


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


def test_a_run_that_is_there_twice_is_taken_once(store):
    store.experiment(3, name="three")
    store.run(1)
    run = store.run(1, 3)
    delta = Delta(store)
    assert delta.rows("runs", "run_uuid, experiment_id") == [(run, 0)]
    assert delta.left_out == [f"runs/{run}: there is another one, so that in 3 can't be taken"]


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


# To the local store


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
