"""What is sent again and what is not; what is gone, and what is only not seen."""

from __future__ import annotations

import os
import shutil
import time

import pytest

from remote.tracking.filestore import layout
from tests.tracking.filestore.file_stores import POINT, Delta


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
    assert delta.points == 0
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
    assert delta.points >= 2
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
    # However long a busy machine takes, no look comes later than that tick.
    written = time.time_ns() + 60 * 10**9
    os.utime(path, ns=(0, written))
    known = Delta(store).after()
    path.write_text("RED")
    os.utime(path, ns=(0, written))
    assert Delta(store, known).rows("tags", "value") == [("RED",)]


def test_a_running_run_is_always_sent_but_not_its_metrics_again(store):
    run = store.run(1, status=1)
    store.write(f"0/{run}/metrics/loss", POINT)
    store.write(f"0/{run}/tags/colour", "red")
    store.age()
    first = Delta(store)
    assert first.points == 1
    again = Delta(store, first.after())
    assert again.ids("run") == [run]
    assert again.rows("tags", "key") == [("colour",)]
    assert again.points == 0
    third = Delta(store, again.after())
    assert third.ids("run") == [run] and third.points == 0


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
    assert again.ids("run") == [run] and again.points == 1
    assert Delta(store, again.after()).rows("entities") == []


def test_watermarks_of_a_database_mean_nothing_here(store):
    run = store.run(1)
    store.age()
    known = Delta(store).after()
    known["watermarks"] = {"metrics": {"rowid": 99, "guard": "0123456789abcdef"}}
    assert Delta(store, known).ids("run") == [run]
    known["format"] = -1
    assert Delta(store, known).meta("since") is None


def test_what_an_older_version_merged_and_this_one_does_not_read_is_not_gone(store):
    store.run(1)
    store.age()
    known = Delta(store).after()
    known["signatures"].update(trace={"tr-1": "1-x"}, registered_model={"net": "1-x"})
    assert Delta(store, known).gone() == []


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


def test_a_run_that_is_there_twice_is_taken_once(store):
    store.experiment(3, name="three")
    store.run(1)
    run = store.run(1, 3)
    delta = Delta(store)
    assert delta.rows("runs", "run_uuid, experiment_id") == [(run, 0)]
    assert delta.left_out == [f"runs/{run}: there is another one, so that in 3 can't be taken"]
