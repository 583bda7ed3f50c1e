"""Records of jobs elsewhere come into the target's store, whichever that is."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from remote.agent.launchers import Launch
from remote.agent.replication.gathered import MARKS, gather
from remote.agent.tracking import run_rows
from remote.job.paths import JobPaths
from remote.job.spec import Job
from remote.tracking.empty_store import empty_like
from tests.operations.tracking.conftest import Store
from tests.stores import empty_store

TAGS = {"mlflow.runName": "b", "mlflow.user": "ada"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A target's folder with a job of a scheduler's, whose run `a` lies in its own store."""
    root = tmp_path / "it's there"
    made = Store(root, empty_store(tmp_path / "empty"))
    made.run("a", artifact="note")
    paths = JobPaths(root, "20260101-090000-train-aaaa")
    paths.folder.mkdir(parents=True)
    Job(id=paths.id, kind="command", source="", name="train").to_file(paths.job)
    made.file.rename(paths.own_store)
    Launch("slurm", {}).to_file(paths.launch)
    empty_like(paths.own_store, root / "mlflow.db")
    return root


def runs(root: Path) -> set[str]:
    store = Store.__new__(Store)
    store.file = root / "mlflow.db"
    return store.runs()


def test_they_come_again_where_the_targets_store_was_made_anew(root: Path) -> None:
    assert gather(root) == {}
    assert runs(root) == {"a"}
    (root / "mlflow.db").unlink()
    assert gather(root) == {}
    assert runs(root) == {"a"}


def test_artifacts_that_cannot_be_looked_at_are_told_until_they_can(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scandir(path: Any) -> Any:
        if str(path).endswith("1/a/artifacts"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return listed(path)

    # The job's experiment has another number there.
    run_rows.begin(root / "mlflow.db", experiment="other", run_id="b", tags=TAGS, start_ms=1)
    listed = os.scandir
    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", scandir)
        for _ in range(2):
            [fault] = gather(root).values()
            assert "Permission denied" in fault and runs(root) == {"a", "b"}
    assert gather(root) == {}
    assert [path.read_text() for path in root.glob("mlruns/2/a/artifacts/*.txt")] == ["note"]


def test_a_run_that_is_refused_is_told_until_it_can_come(root: Path) -> None:
    [own] = root.glob("*/jobs/*/mlflow.db")
    with closing(sqlite3.connect(own)) as store, store:
        [(place,)] = store.execute("SELECT artifact_uri FROM runs").fetchall()
        store.execute("UPDATE runs SET artifact_uri = '/elsewhere/a/artifacts'")
    for _ in range(2):
        [fault] = gather(root).values()
        assert "refused: run a: its artifacts aren't in its project's mlruns: /elsewhere" in fault
        assert runs(root) == set()
    with closing(sqlite3.connect(own)) as store, store:
        store.execute("UPDATE runs SET artifact_uri = ?", (place,))
    assert gather(root) == {}
    assert runs(root) == {"a"}


def test_what_was_merged_is_not_read_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert gather(root) == {}
    noted = json.loads((root / MARKS).read_text())
    monkeypatch.setattr("remote.agent.replication.gathered._merge", lambda *_: pytest.fail("read"))
    assert gather(root) == {} and json.loads((root / MARKS).read_text()) == noted


def test_a_target_store_that_cannot_be_read_is_told_of_by_each_merge(root: Path) -> None:
    assert gather(root) == {}
    (root / "mlflow.db").write_bytes(b"no database" * 99)
    [fault] = gather(root).values()
    assert "can't be merged on the server" in fault
