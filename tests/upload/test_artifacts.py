"""Artifacts go through the server's artifact store: only what is new or changed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from remote import upload
from remote.upload.server import Server
from tests.upload.conftest import Far, Stopped

Send = "PUT /api/2.0/mlflow-artifacts/artifacts/"


def fetch(far: Far, summary: upload.UploadSummary) -> Path:
    """What rsync does."""
    here = far.folder / "fetched"
    for folder in summary.artifacts:
        source = far.project.root / folder.remote
        if source.is_dir():
            shutil.copytree(source, here / folder.local, dirs_exist_ok=True, symlinks=True)
    return here


def send(far: Far, here: Path) -> upload.ArtifactSummary:
    return upload.send_artifacts(far.base, address=far.address, artifacts=here)


def log(far: Far, run: str, name: str, content: bytes) -> Path:
    file = far.project.mlruns / far.experiment / run / "artifacts" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


def read(far: Far, run: str, name: str, tmp_path: Path) -> bytes:
    ours = far.run_of(run).info.run_id
    folder = tmp_path / "read"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return Path(far.there.download_artifacts(ours, name, str(folder))).read_bytes()


def test_files_arrive_and_only_changed_ones_again(
    far: Far, tmp_path: Path, writes: list[str]
) -> None:
    run = far.project.run(far.experiment, end=None)
    log(far, run, "plots/a & b ü.txt", b"plot")
    log(far, run, "empty.txt", b"")
    big = os.urandom(3_000_000)
    changing = log(far, run, "weights.bin", big)
    summary = far.push()
    (folder,) = summary.artifacts
    assert folder.remote == f"mlruns/{far.experiment}/{run}/artifacts"
    assert folder.local == folder.remote

    sent = send(far, fetch(far, summary))

    assert (sent.files, sent.bytes, sent.refused) == (3, 3_000_004, ())
    assert read(far, run, "plots/a & b ü.txt", tmp_path) == b"plot"
    assert read(far, run, "empty.txt", tmp_path) == b""
    assert read(far, run, "weights.bin", tmp_path) == big

    # Of the same size: a checkpoint that was written again.
    changing.write_bytes(big[::-1])
    (far.project.mlruns / far.experiment / run / "artifacts" / "empty.txt").touch()
    log(far, run, "new.txt", b"new")
    writes.clear()
    send(far, fetch(far, far.push()))

    assert sorted(each.rpartition("/")[2] for each in writes) == ["new.txt", "weights.bin"]
    assert read(far, run, "weights.bin", tmp_path) == big[::-1]
    writes.clear()
    send(far, fetch(far, far.push()))
    assert writes == []


def test_folders_are_named_until_they_are_sent(far: Far) -> None:
    run = far.project.run(far.experiment)
    log(far, run, "a.txt", b"hello")
    first = far.push().artifacts
    assert len(first) == 1 and far.push().artifacts == first
    send(far, fetch(far, far.push()))
    assert far.push().artifacts == ()


def test_stopped_between_two_files(far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    run = far.project.run(far.experiment)
    for name in ("a.txt", "b.txt", "c.txt"):
        log(far, run, name, name.encode())
    here = fetch(far, far.push())
    put = Server.put_artifact

    def stopping(self: Server, path: str, content: upload.server.Upload) -> None:
        if path.endswith("c.txt"):
            raise Stopped
        put(self, path, content)

    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(Server, "put_artifact", stopping)
        send(far, here)
    assert send(far, here).files == 1


def test_links_and_names_that_the_server_refuses(far: Far) -> None:
    run = far.project.run(far.experiment)
    folder = log(far, run, "a.txt", b"hello").parent
    log(far, run, "100#.txt", b"odd")
    (far.folder / "secret").write_text("secret")
    (folder / "link.txt").symlink_to(far.folder / "secret")

    sent = send(far, fetch(far, far.push()))

    ours = far.run_of(run).info.run_id
    assert [each.path for each in far.there.list_artifacts(ours)] == ["a.txt"]
    (refusal,) = sent.refused
    assert "100#.txt" in refusal.reason and refusal.id == run


def test_another_artifact_store_is_told(far: Far) -> None:
    name = f"exp {far.folder}"
    far.there.create_experiment(name, artifact_location="s3://bucket/there")
    run = far.project.run(far.experiment)
    log(far, run, "a.txt", b"hello")

    (refusal,) = send(far, fetch(far, far.push())).refused

    assert refusal.id == run and "s3://bucket/there" in refusal.reason


def test_artifacts_outside_of_the_source_are_told(far: Far) -> None:
    run = far.project.run(far.experiment)
    far.project.sql("UPDATE runs SET artifact_uri = '/etc'")

    summary = far.push()

    assert summary.artifacts == () and summary.new_runs == 1
    assert [run in note and "/etc" in note for note in summary.notes] == [True]


def test_a_models_files_arrive(far: Far, tmp_path: Path) -> None:
    run = far.project.run(far.experiment)
    made = far.project.client.create_logged_model(
        far.experiment, name="net", source_run_id=run
    ).model_id
    folder = far.project.mlruns / far.experiment / "models" / made / "artifacts"
    folder.mkdir(parents=True)
    (folder / "MLmodel").write_text("flavors: {}")

    assert send(far, fetch(far, far.push())).files == 1

    experiment = far.there.get_experiment_by_name(f"exp {far.folder}").experiment_id
    (model,) = far.there.search_logged_models([experiment])
    assert [each.path for each in far.there.list_logged_model_artifacts(model.model_id)] == [
        "MLmodel"
    ]
