"""A missing store is created by mlflow, once, whole or not at all."""

from __future__ import annotations

import subprocess
import sys

import pytest

from remote import tracking
from remote.errors import StoreError
from remote.tracking.create_store import ensure_store
from tests.stores import empty_store


def default_location(store):
    import sqlite3

    return sqlite3.connect(store).execute("SELECT artifact_location FROM experiments").fetchall()


def test_two_at_once_make_one_store(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere.invalid")
    monkeypatch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", "/elsewhere")
    folder = tmp_path / 'a proj, 100% "mine"?'
    script = (
        "import sys; from pathlib import Path; from remote.tracking.create_store import ensure_store; p = Path(sys.argv[1]);"
        " ensure_store(p / 'mlflow.db', p / 'mlruns')"
    )
    argv = [sys.executable, "-c", script, str(folder)]
    top = tracking.__path__[0] + "/../.."
    jobs = [subprocess.Popen(argv, cwd=top) for _ in range(2)]
    assert [job.wait() for job in jobs] == [0, 0]
    assert default_location(folder / "mlflow.db") == [(f"{folder}/mlruns/0",)]
    assert {path.name for path in folder.iterdir()} == {"mlflow.db", "mlflow.db.lock"}


def test_a_store_that_is_there_is_left_alone(tmp_path):
    store = empty_store(tmp_path)
    before = store.read_bytes()
    ensure_store(store, tmp_path / "mlruns", python="/no/such/python")
    assert store.read_bytes() == before


def test_a_foreign_file_is_not_replaced(tmp_path):
    store = tmp_path / "mlflow.db"
    store.write_text("my notes")
    with pytest.raises(StoreError, match="isn't an MLflow store"):
        ensure_store(store, tmp_path / "mlruns")
    assert store.read_text() == "my notes"


@pytest.mark.parametrize("python", ["/no/such/python", "/bin/false"])
def test_a_python_that_cannot_make_one(tmp_path, python):
    folder = tmp_path / "project"
    with pytest.raises(StoreError):
        ensure_store(folder / "mlflow.db", folder / "mlruns", python=python)
    assert {path.name for path in folder.iterdir()} == {"mlflow.db.lock"}
