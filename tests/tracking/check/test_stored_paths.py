"""Projects that were moved, copied, or logged to through a server; read back by mlflow."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from remote.tracking.check.examine import examine, mend
from tests.tracking.check.conftest import Project, names


def test_a_sound_project(project: Project) -> None:
    assert project.check() == []
    assert mend(project.store, examine(project.store)) is None


def test_a_moved_project(project: Project, tmp_path: Path) -> None:
    project = project.moved(tmp_path / "else where" / "100% new#")
    full, bare = project.run("full"), project.run("bare")
    assert project.artifacts(full) == [], "what the move broke"
    (found,) = project.check()
    # experiment, two runs, model, model version, trace
    assert found.name == "paths" and found.message.startswith("6 paths lead to ")
    assert project.mend() == []
    assert project.artifacts(full) == ["notes"]
    for uri in (f"models:/{project.model}", "models:/doubler/1", f"runs:/{full}/model"):
        assert project.predicts(uri) == pytest.approx(20)
    # What has no files is mended too: the next artifact lands in this project.
    project.client.log_text(bare, "late", "late.txt")
    assert (project.mlruns / "0" / bare / "artifacts" / "late.txt").read_text() == "late"
    fresh = project.client.create_run("0")
    assert fresh.info.artifact_uri.startswith(str(project.mlruns))


def test_a_moved_project_that_never_had_an_artifact(project: Project, tmp_path: Path) -> None:
    shutil.rmtree(project.mlruns)
    for table in (
        "model_versions",
        "logged_model_params",
        "logged_model_tags",
        "logged_model_metrics",
        "logged_models",
    ):
        project.sql(f"DELETE FROM {table}")
    project.sql("DELETE FROM inputs WHERE destination_type = 'MODEL_OUTPUT'")
    project = project.moved(tmp_path / "new")
    assert project.mend() == []
    prefix = f"{project.mlruns}/%"
    assert project.one("SELECT count(*) FROM runs WHERE artifact_uri NOT LIKE ?", prefix) == 0


def test_into_the_folder_around_it(project: Project) -> None:
    """All old paths still lie in the project, and are wrong all the same."""
    above = Project(project.root.parent)
    for name in ("mlflow.db", "mlruns"):
        os.rename(project.root / name, above.root / name)
    assert names(above.check()) == ["paths"]
    assert above.mend() == []
    assert above.artifacts(above.run("full")) == ["notes"]


def test_a_copied_project_gets_its_own_paths(project: Project, tmp_path: Path) -> None:
    copy = Project(tmp_path / "copy")
    shutil.copytree(project.root, copy.root)
    before = project.dump()
    assert copy.mend() == []
    assert copy.artifacts(copy.run("full")) == ["notes"]
    (copy.mlruns / "0" / copy.run("full") / "artifacts" / "notes" / "hello.txt").unlink()
    assert project.check() == [] and project.dump() == before


def test_a_database_copied_alone(project: Project, tmp_path: Path) -> None:
    project.client.create_experiment("empty", f"{project.mlruns}/1")
    copy = Project(tmp_path / "a copy")
    copy.root.mkdir()
    shutil.copy(project.store, copy.store)
    found = copy.check()
    # What has no artifacts comes from the same project.
    assert names(found) == ["paths"] and found[0].message.startswith("7 paths")
    assert not found[0].mendable and found[0].mend_after
    assert mend(copy.store, found) is None
    assert os.system(found[0].step.partition(": ")[2]) == 0
    assert copy.mend() == []
    assert copy.predicts("models:/doubler/1") == pytest.approx(20)


def test_what_was_logged_to_the_old_place_after_the_move(project: Project, tmp_path: Path) -> None:
    old = project.root
    full = project.run("full")
    project = project.moved(tmp_path / "new")
    project.client.log_text(full, "lost?", "late.txt")
    assert (old / "mlruns" / "0" / full / "artifacts" / "late.txt").exists()
    left = project.mend()
    (found,) = left
    assert full in found.items[0] and found.mend_after and "--ignore-existing" in found.step
    assert os.system(found.step.partition(": ")[2]) == 0
    assert project.mend() == []
    assert sorted(project.artifacts(full)) == ["late.txt", "notes"]


def test_paths_as_urls(project: Project, tmp_path: Path) -> None:
    for table, column in (("runs", "artifact_uri"), ("experiments", "artifact_location")):
        for rowid, path in project.sql(f"SELECT rowid, {column} FROM {table}"):
            project.sql(
                f"UPDATE {table} SET {column} = ? WHERE rowid = ?", Path(path).as_uri(), rowid
            )
    assert project.check() == []
    project = project.moved(tmp_path / "100% new")
    assert project.mend() == []
    full = project.run("full")
    folder = project.mlruns / "0" / full / "artifacts"
    assert project.one("SELECT artifact_uri FROM runs WHERE run_uuid = ?", full) == folder.as_uri()
    assert project.artifacts(full) == ["notes"]


def test_a_default_experiment_made_by_a_server(project: Project) -> None:
    """What `mlflow ui` makes of a new store."""
    project.sql("UPDATE experiments SET artifact_location = 'mlflow-artifacts:/0'")
    run = project.client.create_run("0").info.run_id
    with pytest.raises(Exception, match="mlflow-artifacts"):
        project.client.log_text(run, "hello", "hello.txt")
    # And a run that was logged through it.
    served = project.client.create_run("0").info.run_id
    folder = project.root / "mlartifacts" / "0" / served / "artifacts"
    folder.mkdir(parents=True)
    (folder / "hello.txt").write_text("hello")
    (found,) = project.check()
    assert found.message.startswith("3 paths lead to mlflow-artifacts:/")
    assert project.mend() == []
    assert project.artifacts(served) == ["hello.txt"]
    project.client.log_text(run, "hello", "hello.txt")
    assert project.artifacts(run) == ["hello.txt"]
    fresh = project.client.create_run("0")
    assert fresh.info.artifact_uri.startswith(str(project.mlruns))


def test_artifacts_that_a_server_keeps_elsewhere(project: Project) -> None:
    bare = project.run("bare")
    project.sql(
        "UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?",
        f"mlflow-artifacts:/0/{bare}/artifacts",
        bare,
    )
    assert project.check() == []


def test_other_stores_of_artifacts_are_let_be(project: Project) -> None:
    for text in ("s3://bucket/0", "mlflow-artifacts://server/0", "dbfs:/x", "mlruns/0", None):
        project.sql("UPDATE experiments SET artifact_location = ?", text)
        assert project.check() == [], text


def test_tags_that_only_look_like_a_path(project: Project) -> None:
    trace = project.one("SELECT request_id FROM trace_info")
    project.sql("INSERT INTO trace_tags VALUES ('folder', '/data/raw', ?)", trace)
    assert project.check() == []


def test_a_path_to_the_users_files(project: Project, tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir()
    (private / "id").touch()
    for text in (str(private), f"{project.mlruns}/../../../private", f"file://{private}"):
        project.sql("UPDATE runs SET artifact_uri = ? WHERE name = 'bare'", text)
        (found,) = project.check()
        assert "out of this project" in found.message and not found.mendable
        assert "mlruns/0" in found.step and found.mend_after
    # Once its files are where they belong, the path is mended.
    home = project.mlruns / "0" / project.run("bare") / "artifacts"
    home.parent.mkdir()
    private.rename(home)
    assert project.mend() == []
    assert project.artifacts(project.run("bare")) == ["id"]


def test_a_path_to_nothing(project: Project) -> None:
    project.sql("UPDATE runs SET artifact_uri = '/nowhere/at/all' WHERE name = 'bare'")
    (found,) = project.check()
    assert "out of this project" in found.message and not found.mendable
    assert "mlruns/0/" in found.step and found.mend_after
    # An old project of which nobody knows whether it is only away for now.
    project.sql("UPDATE runs SET artifact_uri = '/mnt/p/mlruns/0/x/artifacts' WHERE name = 'bare'")
    (found,) = project.check()
    assert found.step.startswith("Copy the files of /mnt/p: rsync") and not found.mendable


def test_mlruns_behind_a_link(project: Project, tmp_path: Path) -> None:
    big = tmp_path / "big disk"
    project.mlruns.rename(big)
    project.mlruns.symlink_to(big)
    assert project.check() == []
    full = project.run("full")
    project.sql(
        "UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?", f"{big}/0/{full}/artifacts", full
    )
    assert project.check() == []
    link = tmp_path / "link"
    link.symlink_to(project.root)
    assert Project(link).check() == []


def test_a_store_of_an_older_mlflow(project: Project, tmp_path: Path) -> None:
    """Of the tables, what MLflow 1 had."""
    kept = {
        "alembic_version",
        "experiments",
        "experiment_tags",
        "runs",
        "params",
        "tags",
        "metrics",
    }
    for (name,) in project.sql("SELECT name FROM sqlite_master WHERE type = 'table'"):
        if name not in kept:
            project.sql(f"DROP TABLE {name}")
    project = project.moved(tmp_path / "new")
    assert names(project.check()) == ["paths"]
    assert names(project.mend()) == []
