"""Stores on this machine, merged into the project's own with their artifacts."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from remote.agent.tracking import run_rows
from remote.config import Project
from remote.errors import StoreError
from remote.operations.tracking.destination import destination
from remote.operations.tracking.merge_records import (
    Records,
    find,
    merge_store,
    merging,
)
from tests.operations.tracking.conftest import Store
from tests.tracking.filestore.file_stores import FileStore


@pytest.fixture
def theirs(tmp_path: Path, empty: Path) -> Store:
    """A colleague's store, with one run."""
    made = Store(tmp_path / "a colleague's 100%", empty)
    made.run("t1", experiment="theirs", artifact="their note")
    return made


def merged(records: Records) -> tuple[int, int, int]:
    """New runs, grown runs, artifacts."""
    assert records.summary is not None
    return records.summary.new_runs, records.summary.grown_runs, len(records.artifacts)


def test_runs_come_with_their_artifacts_and_only_once(
    here: Store, project: Project, theirs: Store
) -> None:
    here.run("h1", artifact="mine")
    before = theirs.dump()
    records = merge_store(project, str(theirs.file))
    assert merged(records) == (1, 0, 1) and records.bytes > 0
    assert here.runs() == {"h1", "t1"}
    assert here.notes() == {"h1": "mine", "t1": "their note"}
    assert theirs.dump() == before
    assert merged(merge_store(project, str(theirs.file))) == (0, 0, 0)


def test_a_dry_run_counts_and_changes_nothing(here: Store, project: Project, theirs: Store) -> None:
    before = here.dump()
    assert merged(merge_store(project, str(theirs.root), dry_run=True)) == (1, 0, 0)
    assert (here.dump(), here.notes()) == (before, {})
    assert merged(merge_store(project, str(theirs.root))) == (1, 0, 1)


def test_all_stores_of_a_folder_are_merged(here: Store, project: Project, theirs: Store) -> None:
    files = FileStore(theirs.root / "old")
    files.experiment(5, name="old")
    run = files.run(1, 5)
    (files.root / "5").rename(theirs.root / "mlruns/5")
    assert merged(merge_store(project, str(theirs.root)))[0] == 2
    assert here.runs() == {"t1", run}


def test_artifacts_of_a_store_that_was_moved_are_found(
    here: Store, project: Project, theirs: Store
) -> None:
    theirs.sql("UPDATE runs SET artifact_uri = replace(artifact_uri, ?, '/old')", str(theirs.root))
    merge_store(project, str(theirs.file))
    assert here.notes() == {"t1": "their note"}


def test_what_changed_in_a_copied_store_arrives_whatever_it_is(
    here: Store, project: Project, theirs: Store, tmp_path: Path
) -> None:
    """A change of one kind alone doesn't say where the records of the others were made."""
    number, old = theirs.sql("SELECT experiment_id FROM runs")[0][0], theirs.root
    theirs.sql(
        "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, execution_time_ms,"
        " status) VALUES ('tr-1', ?, 1, 1, 'OK')",
        number,
    )
    location = f"{old}/mlruns/{number}/traces/tr-1/artifacts"
    tag = "INSERT INTO trace_tags (key, value, request_id) VALUES (?, ?, 'tr-1')"
    theirs.sql(tag, "mlflow.artifactLocation", location)
    theirs.sql(
        "INSERT INTO logged_models (model_id, experiment_id, name, artifact_location,"
        " creation_timestamp_ms, last_updated_timestamp_ms, status, lifecycle_stage)"
        " VALUES ('m-1', ?, 'net', ?, 1, 1, 2, 'active')",
        number,
        f"{old}/mlruns/{number}/models/m-1/artifacts",
    )
    (tmp_path / "copy").mkdir()
    copy = shutil.copy(theirs.file, tmp_path / "copy/mlflow.db")
    assert merge_store(project, str(copy)).summary.refused == ()
    changes = (
        "UPDATE logged_models SET name = 'again'",
        "UPDATE trace_info SET status = 'ERROR'",
        "UPDATE runs SET name = 'again'",
    )
    for change in changes:
        with closing(sqlite3.connect(copy)) as database, database:
            database.execute(change)
        assert merge_store(project, str(copy)).summary.refused == ()
    assert here.sql(
        "SELECT name FROM logged_models UNION ALL SELECT name FROM runs"
        " UNION ALL SELECT status FROM trace_info"
    ) == [("again",), ("again",), ("ERROR",)]


def test_a_store_of_a_schema_that_is_not_known_is_named(
    here: Store, project: Project, theirs: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs.sql("UPDATE alembic_version SET version_num = 'f00'")
    assert merged(merge_store(project, str(theirs.file)))[0] == 1
    said = capsys.readouterr().err
    assert "its schema (f00)" in said and "raise mlflow, make lock" in said


def test_artifacts_may_lie_in_a_folder_of_their_own(
    here: Store, project: Project, theirs: Store, tmp_path: Path
) -> None:
    (tmp_path / "artifacts").mkdir()
    (theirs.root / "mlruns").rename(tmp_path / "artifacts/mlruns")
    merge_store(project, str(theirs.file), artifacts=str(tmp_path / "artifacts"))
    assert here.notes() == {"t1": "their note"}


def test_an_artifact_folder_that_is_not_there_is_refused(project: Project, theirs: Store) -> None:
    with pytest.raises(StoreError, match="There is no folder /no/such"):
        merge_store(project, str(theirs.file), artifacts="/no/such")


def test_the_own_store_is_not_merged_into_itself(
    here: Store, project: Project, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(here.root)
    before = here.dump()
    for name in (here.file, here.root, tmp_path / "link/mlflow.db"):
        with pytest.raises(StoreError, match="is the store that records are merged into"):
            merge_store(project, str(name))
    linked = Project(tmp_path / "link", {})
    with pytest.raises(StoreError, match="is the store that records are merged into"):
        merge_store(linked, str(here.file))
    assert here.dump() == before


def test_two_sources_have_bases_of_their_own(
    here: Store, project: Project, theirs: Store, tmp_path: Path, empty: Path
) -> None:
    other = Store(tmp_path / "another's", empty)
    other.run("o1", experiment="theirs")
    for store in (theirs, other):
        merge_store(project, str(store.file))
    assert here.runs() == {"t1", "o1"}
    assert len(list((project.state / "targets").glob("store-*.base.db"))) == 2


def test_nothing_is_left_of_a_merge_that_fails(project: Project) -> None:
    with pytest.raises(RuntimeError), merging(project) as folder:
        (folder / "half.db").touch()
        raise RuntimeError
    assert not folder.exists()
    assert not list(project.state.glob("delta-*"))


# Which stores are meant


def test_a_name_leads_to_a_store_or_to_all_of_a_folder(
    theirs: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(theirs.root)
    for name in ("mlflow.db", str(theirs.file), "sqlite:///mlflow.db", ".", f"file:{theirs.root}"):
        assert list(find(name)) == [theirs.file]


def test_a_file_store_is_found_by_its_folder_and_by_the_one_above(tmp_path: Path) -> None:
    files = FileStore(tmp_path / "old")
    files.experiment()
    assert list(find(str(files.root))) == list(find(str(files.project))) == [files.root]


@pytest.mark.parametrize(
    ("name", "told", "hint"),
    [
        ("/no/such.db", "There is no /no/such.db", "Name a .db file"),
        ("http://me:secret@host", "this machine's disk", "inv mlflow-pull"),
        (os.devnull, "isn't an MLflow store, and holds none", "a SQLite file that MLflow made"),
    ],
)
def test_what_is_no_store_here_says_what_to_name(name: str, told: str, hint: str) -> None:
    with pytest.raises(StoreError, match=told) as caught:
        find(name)
    assert hint in caught.value.hint and "secret" not in str(caught.value)


# Artifacts


def test_artifacts_go_where_the_records_say_and_nothing_else_comes(
    here: Store, project: Project, theirs: Store
) -> None:
    # The number that the experiment has there is another one's here.
    here.run("h1", experiment="mine")
    theirs.run("t2", experiment="theirs", artifact="second")
    theirs.run("t3", experiment="theirs", artifact="third")
    theirs.run("t4", experiment="without artifacts")
    shutil.rmtree(theirs.root / "mlruns/2")
    (theirs.root / "mlruns/1/nobody's/artifacts").mkdir(parents=True)
    (theirs.root / "mlruns/1/nobody's/artifacts/x.txt").write_text("not recorded")
    moved = theirs.root / "mlruns/old/1/t3"
    moved.parent.mkdir(parents=True)
    (theirs.root / "mlruns/1/t3").rename(moved)
    theirs.sql("UPDATE runs SET artifact_uri = ? WHERE run_uuid = 't3'", f"{moved}/artifacts")
    records = merge_store(project, str(theirs.file))
    ((number,),) = here.sql("SELECT experiment_id FROM runs WHERE run_uuid = 't1'")
    assert number != 1
    names = {f"mlruns/{number}/{run}/artifacts/it's a note.txt" for run in ("t1", "t2", "t3")}
    assert set(records.artifacts) == names
    assert here.notes() == {"t1": "their note", "t2": "second", "t3": "third"}


def test_a_store_of_ones_own_choice_gets_the_records(
    here: Store, theirs: Store, empty: Path
) -> None:
    chosen = Store(here.root / "chosen", empty)
    project = Project(here.root, {"MLFLOW_TRACKING_URI": f"sqlite:///{chosen.file}"})
    before = here.dump()
    merge_store(project, str(theirs.file))
    assert chosen.runs() == {"t1"} and here.dump() == before
    assert destination(project).location == chosen.file and here.notes() == {"t1": "their note"}


def test_a_run_that_moves_to_another_experiment_does_so_here_with_its_artifacts(
    here: Store, project: Project, theirs: Store
) -> None:
    """As a job's run does when its program takes it up, after a pull that was too early."""
    theirs.sql("UPDATE runs SET status = 'RUNNING', end_time = NULL WHERE run_uuid = 't1'")
    theirs.sql("INSERT INTO tags (run_uuid, key, value) VALUES ('t1', 'remote.job', 'j')")
    merge_store(project, str(theirs.file))
    theirs.run("t2", experiment="chosen")
    folder = theirs.root / "mlruns/2/t1/artifacts"
    folder.parent.mkdir()
    (theirs.root / "mlruns/1/t1/artifacts").rename(folder)
    move = "UPDATE runs SET experiment_id = 2, artifact_uri = ? WHERE run_uuid = 't1'"
    theirs.sql(move, str(folder))
    for _ in range(2):
        merge_store(project, str(theirs.file))
        assert run_rows.experiment_of(here.file, "t1") == "chosen"
        assert run_rows.artifact_dir(here.file, "t1") == here.root / "mlruns/2/t1/artifacts"
        assert (here.root / "mlruns/2/t1/artifacts/it's a note.txt").is_file()


def test_what_a_merge_that_was_killed_has_left_goes_with_the_next(project: Project) -> None:
    left = project.state / "delta-abc"
    left.mkdir(parents=True)
    (left / "half.db").write_text("half")
    with merging(project) as folder:
        assert not left.exists() and folder.is_dir()
    assert not list(project.state.glob("delta-*"))
