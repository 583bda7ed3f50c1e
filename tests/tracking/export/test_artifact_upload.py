"""Which files are sent, and where to: the server says where, and is not trusted with that."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import requests

from remote.tracking.export.run_content import _is_reachable
from tests.tracking.export.conftest import Laptop


@pytest.mark.parametrize(
    ("location", "reachable"),
    [
        ("mlflow-artifacts:/1/abc/artifacts", True),
        ("mlflow-artifacts://host:5000/1", True),
        ("mlflow-artifacts://evil:5000/1", False),
        ("s3://bucket/1", True),
        ("/home/me/.ssh", False),
        ("file:///home/me/.ssh", False),
        ("home/me", False),
        ("ftp://host/1", False),
        ("", False),
    ],
)
def test_no_server_has_files_of_this_machine_written(location: str, reachable: bool) -> None:
    assert _is_reachable(location, "http://host:5000") is reachable


def test_only_changed_files_are_sent_again(laptop: Laptop, tmp_path: Path) -> None:
    run = laptop.project.run(laptop.experiment, end=None)
    file = laptop.log(run, "a/weights.bin", b"12345")
    laptop.log(run, "empty.txt", b"")
    first = laptop.export()
    file.write_bytes(b"54321")
    again = laptop.export()

    assert first is not None and again is not None
    assert (first.files, again.files) == (2, 1)
    assert laptop.artifact(run, "a/weights.bin", tmp_path / "read") == b"54321"


def test_secrets_among_the_artifacts_stay_here(laptop: Laptop) -> None:
    run = laptop.project.run(laptop.experiment)
    for name in ("a.txt", "conf/.ENV", "kaggle.json", "id_rsa.pub"):
        laptop.log(run, name, b"x")
    summary = laptop.export()
    assert summary is not None and summary.files == 2
    secrets = [note for note in summary.notes if "called like a secret" in note]
    assert sorted(secrets) == [
        f"{name} of run {run} is not sent: it is called like a secret"
        for name in ("conf/.ENV", "kaggle.json")
    ]


def test_the_variables_of_a_job_stay_here(laptop: Laptop) -> None:
    run = laptop.project.run(laptop.experiment)
    laptop.log(run, "remote/log.txt", b"x")
    laptop.log(
        run, "remote/job.json", b'{"env": {"API_KEY": "abc"}, "notify": "curl https://hook/abc"}'
    )
    summary = laptop.export()
    assert summary is not None and summary.files == 1


def test_a_file_that_was_changed_on_the_server_is_kept(laptop: Laptop, tmp_path: Path) -> None:
    run = laptop.project.run(laptop.experiment, end=None)
    laptop.log(run, "a.txt", b"one")
    laptop.export()
    (tmp_path / "a.txt").write_bytes(b"of the server")
    laptop.server.log_artifact(laptop.run_of(run).info.run_id, str(tmp_path / "a.txt"))
    laptop.log(run, "a.txt", b"one two")

    summary = laptop.export()

    assert summary is not None and summary.notes == [f"kept the server's: a.txt of run {run}"]
    assert laptop.artifact(run, "a.txt", tmp_path / "read") == b"of the server"


def test_links_and_names_that_the_server_refuses(laptop: Laptop) -> None:
    run = laptop.project.run(laptop.experiment)
    folder = laptop.log(run, "a.txt", b"hello").parent
    laptop.log(run, "100#.txt", b"odd")
    (laptop.project.root / "secret").write_text("secret")
    (folder / "link.txt").symlink_to(laptop.project.root / "secret")
    (folder / "folder").symlink_to(laptop.project.root)

    summary = laptop.export()

    there = laptop.run_of(run)
    assert [file.path for file in laptop.server.list_artifacts(there.info.run_id)] == ["a.txt"]
    assert there.info.status == "FINISHED"
    assert summary is not None
    assert ["100#.txt" in note for note in summary.notes if "left out" in note] == [True]
    links = [note for note in summary.notes if "is no plain file" in note]
    assert sorted(note.split()[0] for note in links) == ["folder", "link.txt"]
    assert laptop.export() is None
    # What isn't there was not kept there.
    laptop.log(run, "100#.txt", b"other")
    again = laptop.export()
    assert again is not None and not any("kept" in note for note in again.notes)
    assert ["100#.txt" in note for note in again.notes if "left out" in note] == [True]


def test_what_takes_the_place_of_a_refused_file_is_sent(
    laptop: Laptop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a proxy that takes no large files."""
    run = laptop.project.run(laptop.experiment, end=None)
    laptop.log(run, "a.txt", b"too large")
    put = requests.Session.request

    def refuse(self: Any, method: str, url: str, *args: Any, **rest: Any) -> Any:
        if method != "PUT":
            return put(self, method, url, *args, **rest)
        answer = requests.Response()
        answer.status_code, answer.url = 413, url
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(requests.Session, "request", refuse)
        first = laptop.export()
    assert first is not None and first.files == 0
    assert any("a.txt" in note and "left out" in note for note in first.notes)
    laptop.log(run, "a.txt", b"small")

    summary = laptop.export()

    assert summary is not None and (summary.files, summary.notes) == (1, [])
    assert laptop.artifact(run, "a.txt", tmp_path / "read") == b"small"


def test_a_folder_that_can_not_be_read_is_named_and_sent_once_it_can(
    laptop: Laptop, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = laptop.project.run(laptop.experiment)
    laptop.log(run, "a.txt", b"a")
    laptop.log(run, "plots/b.txt", b"b")
    scandir = os.scandir

    def closed(path: Any) -> Any:
        if str(path).endswith("/plots"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", closed)
        summary = laptop.export()
    assert summary is not None and summary.files == 1
    note = f"plots of run {run} is not sent: it can't be read: Permission denied"
    assert note in summary.notes
    summary = laptop.export()
    assert summary is not None and (summary.files, summary.notes) == (1, [])


def test_artifacts_outside_of_the_project_are_named(laptop: Laptop) -> None:
    run = laptop.project.run(laptop.experiment)
    laptop.project.sql("UPDATE runs SET artifact_uri = '/etc'")
    summary = laptop.export()
    assert summary is not None and summary.files == 0
    assert [run in note for note in summary.notes if "outside" in note] == [True]


def test_artifacts_in_cloud_storage_are_named_once(laptop: Laptop) -> None:
    for _ in range(2):
        laptop.project.run(laptop.experiment)
    laptop.project.sql("UPDATE runs SET artifact_uri = 's3://bucket/1'")
    summary = laptop.export()
    assert summary is not None and ["cloud" in note for note in summary.notes[3:]] == [True]
