"""What a file store is, where its artifacts lie now, and that no link is followed."""

from __future__ import annotations

import os

import pytest

from remote.errors import StoreError
from remote.tracking import filestore
from remote.tracking.filestore import layout
from tests.tracking.filestore.file_stores import Delta, FileStore


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


def test_what_became_a_pipe_or_a_link_since_it_was_looked_at_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(layout.Unreadable, match="it isn't a file"):
        layout.read(str(tmp_path / "pipe"))
    (tmp_path / "secret").write_text("s3cr3t")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(OSError):
        layout.read(str(tmp_path / "link"))
