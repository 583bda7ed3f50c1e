"""How MLflow makes a missing store, whole or not at all, and how the next one is a copy of it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from remote import tracking
from remote.errors import StoreError
from remote.job.paths import CACHE
from remote.tracking import empty_store as module
from remote.tracking.empty_store import ensure_store
from remote.tracking.store import connect_read_only
from tests.stores import empty_store


def test_two_at_once_make_one_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere.invalid")
    monkeypatch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", "/elsewhere")
    folder = tmp_path / 'a proj, 100% "mine"?'
    script = (
        "import sys; from pathlib import Path; from remote.tracking.empty_store import ensure_store;"
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


def test_the_next_store_is_a_copy_of_the_first(
    tmp_path: Path, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (tmp_path / name / "mlflow.db" for name in ("a", "it's 100%"))
    monkeypatch.setattr(module, "run_mlflow", _copying)
    ensure_store(first, first.parent / "mlruns")
    (template,) = (isolated / CACHE / "stores").iterdir()
    assert template.parent.stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr(module, "run_mlflow", _no_mlflow)
    ensure_store(second, second.parent / "mlruns")
    ours, its = _dump(second), _dump(first)
    assert [ours.pop("artifact_location"), its.pop("artifact_location")] == [
        f"{store.parent}/mlruns/0" for store in (second, first)
    ]
    assert ours.pop("creation_time") > its.pop("creation_time")
    assert ours.pop("last_update_time") > its.pop("last_update_time")
    assert ours == its


@pytest.mark.parametrize("damage", ["a row of somebody's", "another version's", "half"])
def test_only_what_mlflow_made_is_copied(
    tmp_path: Path, isolated: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    monkeypatch.setattr(module, "run_mlflow", _copying)
    ensure_store(tmp_path / "mlflow.db", tmp_path / "mlruns")
    (template,) = (isolated / CACHE / "stores").iterdir()
    if damage == "half":
        template.write_bytes(template.read_bytes()[: 1 << 16])
    elif damage == "another version's":
        template.rename(template.with_name(template.name.replace("-", ".1-", 1)))
    else:
        with closing(sqlite3.connect(template)) as database, database:
            database.execute("INSERT INTO experiment_tags VALUES ('a', 'b', 0)")
    monkeypatch.setattr(module, "run_mlflow", _no_mlflow)
    with pytest.raises(StoreError, match="MLflow was asked"):
        ensure_store(tmp_path / "next/mlflow.db", tmp_path / "next/mlruns")


def test_without_a_cache_mlflow_makes_each(
    tmp_path: Path, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (isolated / ".cache").write_text("a file in its place")
    monkeypatch.setattr(module, "run_mlflow", _copying)
    ensure_store(tmp_path / "a/mlflow.db", tmp_path / "a/mlruns")
    assert (tmp_path / "a/mlflow.db").is_file()


def _no_mlflow(*_: object, **__: object) -> bool:
    raise StoreError("MLflow was asked")


def _copying(python: str, argv: list[str], *, cwd: Path, **_: object) -> bool:
    """As MLflow does it, in no time."""
    with closing(sqlite3.connect(empty_store(cwd))) as database, database:
        database.execute("UPDATE experiments SET artifact_location = ?", (f"{argv[-1]}/0",))
    return True


def _dump(store: Path) -> dict[str, object]:
    """The schema and all rows; the columns of the one experiment by their names."""
    with closing(connect_read_only(store)) as database:
        database.row_factory = sqlite3.Row
        (experiment,) = database.execute("SELECT * FROM experiments")
        lines = [line for line in database.iterdump() if 'INTO "experiments"' not in line]
        return {**dict(experiment), "": lines}


def test_without_mlflow_it_says_how_to_install_it(
    tmp_path: Path, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "run_mlflow", lambda *_, **__: False)
    with pytest.raises(StoreError, match="has no mlflow") as told:
        ensure_store(tmp_path / "mlflow.db", tmp_path / "mlruns")
    assert "pip install mlflow" in told.value.hint and not (tmp_path / "mlflow.db").exists()


def test_one_that_can_not_be_kept_is_brought_nowhere(
    isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (isolated / ".cache").write_text("a file in its place")
    monkeypatch.setattr(module, "run_mlflow", _copying)
    with pytest.raises(StoreError, match="could be kept here") as told:
        module.made_here()
    assert f"~/{CACHE}/{module.KEPT}" in told.value.hint
