"""What is an MLflow store, how one is opened, and how mlflow makes a missing one, whole or not."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from remote import tracking
from remote.errors import StoreError
from remote.tracking import store as module
from remote.tracking.store import connect_read_only, ensure_store, is_store, writing
from tests.stores import empty_store


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return empty_store(tmp_path / "it's 100% #1?")


def test_what_is_no_store_is_just_none(tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as database:
        database.execute("CREATE TABLE runs (x)")
    (tmp_path / "text.db").write_text("SQLite format 3")
    for path in (tmp_path, tmp_path / "missing.db", other, tmp_path / "text.db"):
        assert not is_store(path)
    assert not (tmp_path / "missing.db").exists()


def test_a_store_is_read_and_not_written(store: Path) -> None:
    assert is_store(store)
    with closing(connect_read_only(store)) as database:
        assert database.execute("SELECT name FROM experiments").fetchall() == [("Default",)]
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            database.execute("DELETE FROM experiments")


def test_a_transaction_is_whole_or_not_at_all(store: Path) -> None:
    with writing(store) as database:
        database.execute("UPDATE experiments SET name = 'renamed'")
    with pytest.raises(ZeroDivisionError), writing(store) as database:
        database.execute("UPDATE experiments SET name = 'lost'")
        raise ZeroDivisionError
    with closing(connect_read_only(store)) as database:
        assert database.execute("SELECT name FROM experiments").fetchall() == [("renamed",)]


def test_a_missing_store_is_refused_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="isn't an MLflow store"), writing(tmp_path / "new.db"):
        pass
    assert not (tmp_path / "new.db").exists()


def test_a_store_that_somebody_locks_is_named(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUSY_TIMEOUT", 0)
    with closing(sqlite3.connect(store, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="can't be used: database is locked"), writing(store):
            pass


def test_two_at_once_make_one_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere.invalid")
    monkeypatch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", "/elsewhere")
    folder = tmp_path / 'a proj, 100% "mine"?'
    script = (
        "import sys; from pathlib import Path; from remote.tracking.store import ensure_store;"
        " p = Path(sys.argv[1]); ensure_store(p / 'mlflow.db', p / 'mlruns')"
    )
    argv = [sys.executable, "-c", script, str(folder)]
    top = tracking.__path__[0] + "/../.."
    jobs = [subprocess.Popen(argv, cwd=top) for _ in range(2)]
    assert [job.wait() for job in jobs] == [0, 0]
    with closing(connect_read_only(folder / "mlflow.db")) as database:
        locations = database.execute("SELECT artifact_location FROM experiments").fetchall()
    assert locations == [(f"{folder}/mlruns/0",)]
    assert {path.name for path in folder.iterdir()} == {"mlflow.db", "mlflow.db.lock"}


def test_a_store_that_is_there_is_left_alone(tmp_path: Path) -> None:
    store = empty_store(tmp_path)
    before = store.read_bytes()
    ensure_store(store, tmp_path / "mlruns", python="/no/such/python")
    assert store.read_bytes() == before


def test_a_foreign_file_is_not_replaced(tmp_path: Path) -> None:
    store = tmp_path / "mlflow.db"
    store.write_text("my notes")
    with pytest.raises(StoreError, match="isn't an MLflow store"):
        ensure_store(store, tmp_path / "mlruns")
    assert store.read_text() == "my notes"


@pytest.mark.parametrize("python", ["/no/such/python", "/bin/false"])
def test_a_python_that_cannot_make_one(tmp_path: Path, python: str) -> None:
    folder = tmp_path / "project"
    with pytest.raises(StoreError):
        ensure_store(folder / "mlflow.db", folder / "mlruns", python=python)
    assert {path.name for path in folder.iterdir()} == {"mlflow.db.lock"}
