"""The rows written without mlflow are the rows that mlflow writes."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from remote.agent.tracking import run_rows
from remote.errors import StoreError
from remote.tracking.store import is_store
from tests.stores import empty_store

TABLES = ("experiments", "experiment_tags", "runs", "params", "tags", "metrics", "latest_metrics")


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    folder = tmp_path_factory.getbasetemp() / "mlflow-template"
    return empty_store(folder)


@pytest.fixture
def store(tmp_path, template):
    return Path(shutil.copy(template, tmp_path / "mlflow.db"))


TAGS = {
    "remote.job": "j1",
    "mlflow.runName": "sunny",
    "mlflow.user": "ada",
    "mlflow.source.name": "train.ipynb",
}


def begin(store, **changes):
    options = {
        "experiment": "digits",
        "run_id": "a" * 32,
        "tags": TAGS,
        "params": {"epoch": "10"},
        "start_ms": 1234,
    }
    return run_rows.begin(store, **{**options, **changes})


def sql(store, query, *values):
    with closing(sqlite3.connect(store, timeout=60)) as database, database:
        return database.execute(query, values).fetchall()


def rows(store):
    """Everything in the store, without the times of creation that are the clock's."""
    sql(store, "UPDATE experiments SET creation_time = 0, last_update_time = 0")
    return {table: sorted(sql(store, f"SELECT * FROM {table}"), key=repr) for table in TABLES}


def test_row_for_row_what_mlflow_writes(store, template, tmp_path):
    from mlflow import MlflowClient

    (tmp_path / "theirs").mkdir()
    theirs = Path(shutil.copy(template, tmp_path / "theirs" / "mlflow.db"))
    client = MlflowClient(f"sqlite:///{theirs}")
    long = "x" * 9000
    experiment = client.create_experiment("digits", str(tmp_path / "mlruns" / "1"))
    tags = {
        "remote.job": "j1",
        "mlflow.user": "ada",
        "mlflow.source.name": "train.ipynb",
        "mlflow.source.type": "LOCAL",
    }
    run = client.create_run(experiment, start_time=1234, tags=tags, run_name="sunny")
    client.log_param(run.info.run_id, "epoch", "10")
    client.log_param(run.info.run_id, "long", long)
    client.set_tag(run.info.run_id, "long", long)
    client.set_tag(run.info.run_id, "remote.job", "j2")
    client.set_terminated(run.info.run_id, "FAILED", end_time=99)

    begun = begin(store, run_id=run.info.run_id, params={"epoch": "10", "long": long})
    run_rows.update(store, begun.run_id, {"long": long, "remote.job": "j2"})
    run_rows.update(store, begun.run_id, status="FAILED", end_time=99)

    assert rows(store) == rows(theirs)
    assert len(sql(store, "SELECT value FROM params WHERE key = 'long'")[0][0]) == 6000


def test_the_run_can_be_continued_with_mlflow(store):
    from mlflow import MlflowClient

    begun = begin(store)
    assert begun.artifact_dir.is_dir()
    client = MlflowClient(f"sqlite:///{store}")
    client.log_text(begun.run_id, "hello", "note.txt")
    assert (begun.artifact_dir / "note.txt").read_text() == "hello"
    assert begun.artifact_dir == store.parent / "mlruns" / "1" / begun.run_id / "artifacts"
    assert client.get_experiment_by_name("digits").artifact_location == str(
        store.parent / "mlruns" / "1"
    )


def test_an_experiment_is_made_once(store):
    first = begin(store)
    second = begin(store, run_id="b" * 32)
    assert first.experiment_id == second.experiment_id == "1"
    assert sql(store, "SELECT experiment_id, name FROM experiments") == [
        (0, "Default"),
        (1, "digits"),
    ]


@pytest.mark.parametrize(
    ("location", "folder"),
    [
        ("/data/my runs", "/data/my runs"),
        ("file:///data/my%20runs", "/data/my runs"),
        ("mlflow-artifacts:/0", "mlruns/0"),
        ("s3://bucket/runs", "mlruns/0"),
        (None, "mlruns/0"),
    ],
)
def test_artifacts_lie_below_the_experiments_own_folder(store, location, folder):
    location = location and location.replace("/data", str(store.parent / "data"))
    sql(store, "UPDATE experiments SET artifact_location = ?", location)
    begun = begin(store, experiment="Default")
    expected = store.parent / folder.replace("/data", "data") / begun.run_id / "artifacts"
    assert begun.artifact_dir == expected and expected.is_dir()
    assert sql(store, "SELECT artifact_uri FROM runs") == [(str(expected),)]


def test_a_deleted_experiment_of_that_name(store):
    begin(store)
    sql(store, "UPDATE experiments SET lifecycle_stage = 'deleted' WHERE experiment_id = 1")
    with pytest.raises(StoreError, match="'digits'.*is deleted") as error:
        begin(store, run_id="b" * 32)
    assert "restore -x 1" in error.value.hint
    assert sql(store, "SELECT count(*) FROM runs") == [(1,)]


def test_a_run_twice_is_refused_and_nothing_is_changed(store):
    begin(store)
    before = store.read_bytes()
    with pytest.raises(StoreError):
        begin(store, experiment="other")
    assert store.read_bytes() == before


def test_values_arrive_as_they_were_given(store):
    odd = 'it\'s "$(x)"\n; DROP TABLE runs; 日本 \\ %s ?'
    tags = {odd: odd, "mlflow.runName": odd, "mlflow.user": odd}
    begin(store, experiment=odd, tags=tags, params={odd: odd})
    assert sql(store, "SELECT key, value FROM params") == [(odd, odd)]
    assert (odd, odd) in sql(store, "SELECT key, value FROM tags")
    assert sql(store, "SELECT name FROM experiments WHERE experiment_id = 1") == [(odd,)]


def test_status(store):
    begin(store)
    assert run_rows.run_status(store, "a" * 32) == "RUNNING"
    run_rows.update(store, "a" * 32, status="KILLED", end_time=5)
    assert run_rows.run_status(store, "a" * 32) == "KILLED"
    assert run_rows.run_status(store, "unknown") is None
    for act in (
        lambda: run_rows.update(store, "unknown", status="FINISHED", end_time=5),
        lambda: run_rows.update(store, "unknown", {"a": "b"}),
    ):
        with pytest.raises(StoreError, match="no run unknown"):
            act()


def test_what_is_a_store(store, tmp_path):
    assert is_store(store)
    (tmp_path / "text").write_text("x" * 5000)
    (tmp_path / "empty").touch()
    sql(tmp_path / "other", "CREATE TABLE runs (x)")
    for name in ("text", "empty", "other", "missing", "."):
        assert not is_store(tmp_path / name), name
        with pytest.raises(StoreError, match="isn't an MLflow store"):
            begin(tmp_path / name)
    assert not (tmp_path / "missing").exists()


def test_a_schema_with_fewer_columns(store):
    """MLflow 2.16 has no workspaces; older ones no deleted_time."""
    sql(store, "ALTER TABLE runs DROP COLUMN deleted_time")
    sql(store, "ALTER TABLE runs DROP COLUMN source_version")
    begin(store)
    run_rows.update(store, "a" * 32, status="FINISHED", end_time=5)
    assert run_rows.run_status(store, "a" * 32) == "FINISHED"


def test_many_jobs_begin_at_once(store):
    """One experiment, every run in it, however the transactions fall."""
    threads = [
        threading.Thread(target=begin, args=(store,), kwargs={"run_id": f"r{n}"}) for n in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sql(store, "SELECT count(*), count(DISTINCT experiment_id) FROM runs") == [(16, 1)]


def test_it_waits_for_a_writer(store):
    with closing(sqlite3.connect(store, isolation_level=None, check_same_thread=False)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        threading.Timer(0.5, lambda: writer.execute("COMMIT")).start()
        assert begin(store).experiment_id == "1"
