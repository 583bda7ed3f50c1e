"""The database file and the files around it, a file store in the way, and mending as a whole."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from remote.errors import StoreError
from remote.tracking.check.examine import examine, mend
from tests.tracking.check.conftest import Project, names

KILLED = """\
import os, signal, sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA cache_size = 1")
database.execute("BEGIN")
database.execute("UPDATE metrics SET step = step + 1000")
database.execute("CREATE TABLE big AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
                 " WHERE i < 20000) SELECT i, hex(randomblob(50)) AS x FROM n")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_journal_that_a_killed_program_left(project: Project) -> None:
    before = project.dump()
    done = subprocess.run([sys.executable, "-c", KILLED, str(project.store)])
    assert done.returncode == -signal.SIGKILL and Path(f"{project.store}-journal").stat().st_size
    assert examine(project.store) == []
    assert project.check() == [] and project.dump() == before


def test_a_program_that_still_writes_left_nothing(project: Project) -> None:
    with closing(sqlite3.connect(project.store, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE metrics SET step = step")
        assert Path(f"{project.store}-journal").stat().st_size
        assert examine(project.store) == []


def test_a_store_in_wal_mode(project: Project, tmp_path: Path) -> None:
    project.sql("PRAGMA journal_mode = WAL")
    with closing(sqlite3.connect(project.store)):
        project = project.moved(tmp_path / "new")
        assert project.mend() == []
    assert project.artifacts(project.run("full")) == ["notes"]


@pytest.mark.parametrize("where", ["the first page", "runs"])
def test_a_damaged_file(project: Project, where: str) -> None:
    size = project.one("PRAGMA page_size")
    page = project.sql("SELECT rootpage FROM sqlite_master WHERE name = ?", where) or [(1,)]
    with open(project.store, "r+b") as file:
        file.seek((page[0][0] - 1) * size + 100)
        file.write(b"\xff" * (size - 100))
    damaged = project.store.read_bytes()
    (found,) = examine(project.store)
    assert found.name == "database" and "damaged" in found.message and ".recover" in found.step
    assert mend(project.store, [found]) is None
    assert project.store.read_bytes() == damaged


def test_what_is_no_store(tmp_path: Path) -> None:
    text, empty, other = tmp_path / "text", tmp_path / "empty", tmp_path / "other.db"
    text.write_text("SQLite, no")
    empty.touch()
    with closing(sqlite3.connect(other)) as database:
        database.execute("CREATE TABLE t (a)")
    for path in (text, empty, other, tmp_path / "missing", tmp_path):
        with pytest.raises(StoreError) as caught:
            examine(path)
        assert caught.value.hint
    assert not (tmp_path / "missing").exists()


def test_the_copy_is_the_store_as_it_was(project: Project, tmp_path: Path) -> None:
    project = project.moved(tmp_path / "new")
    project.store.chmod(0o600)
    before = project.dump()
    found = examine(project.store)
    first = mend(project.store, found)
    assert first is not None and first.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(first)) as copy:
        assert list(copy.iterdump()) == before
    assert sorted(path.name for path in project.root.glob("mlflow.db*")) == [
        "mlflow.db",
        first.name,
    ]
    # Told to mend what is mended already, in the same second: nothing is written over.
    again = mend(project.store, found)
    assert again != first and first.exists()


def test_no_room_for_the_copy(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = project.moved(tmp_path / "new")
    before = project.dump()

    def full(*paths: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(StoreError, match="No space left"):
        mend(project.store, examine(project.store))
    assert project.dump() == before
    assert [path.name for path in project.root.glob("mlflow.db*")] == ["mlflow.db"]


def test_mending_is_done_whole_or_not_at_all(project: Project, tmp_path: Path) -> None:
    project = project.moved(tmp_path / "new")
    project.sql(
        "CREATE TRIGGER no BEFORE UPDATE ON model_versions BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    before = project.dump()
    with pytest.raises(StoreError):
        mend(project.store, examine(project.store))
    assert project.dump() == before


def test_a_file_store_in_the_way(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checked against mlflow's own choice."""
    from mlflow.tracking._tracking_service import utils

    monkeypatch.chdir(project.root)
    assert utils._get_default_tracking_uri().startswith("sqlite")
    (project.mlruns / "123" / "run" / "metrics").mkdir(parents=True)
    (project.mlruns / "123" / "run" / "metrics" / "loss").touch()
    (project.mlruns / "123" / "meta.yaml").touch()
    assert not utils._get_default_tracking_uri().startswith("sqlite")
    (found,) = project.check()
    assert found.name == "file store" and found.items == ("mlruns/123/meta.yaml",)
    assert "mlflow-merge" in found.step
    (project.mlruns / "123" / "meta.yaml").unlink()
    assert names(project.check()) == []
