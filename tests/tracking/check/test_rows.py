"""Rows that name what isn't there, and latest metrics that disagree with their history."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from remote.tracking.check import Finding, latest_metrics, orphans
from tests.tracking.check.conftest import Project, names

RUN_TABLES = ("params", "tags", "metrics", "latest_metrics", "runs")


def told(findings: list[Finding]) -> list[str]:
    return sorted(finding.told for finding in findings if finding.name == "orphans")


def test_what_is_left_of_a_run_that_someone_deleted(project: Project) -> None:
    full = project.run("full")
    project.sql("DELETE FROM runs WHERE run_uuid = ?", full)
    witness = {table for table, *_ in project.sql("PRAGMA foreign_key_check")}
    found = project.check()
    from_keys = {each.split(" of ")[1].split(" ")[0] for each in told(found)}
    assert from_keys >= witness >= {"tags", "metrics", "latest_metrics"}
    assert "inputs" in from_keys, "which has no foreign key"
    assert all(finding.items == (full,) for finding in found if finding.name == "orphans")
    left = project.mend()
    # The files of the run stay, and are told of; its model too.
    assert [finding.name for finding in left] == ["files"] and left[0].note
    assert (project.mlruns / "0" / full / "artifacts" / "notes" / "hello.txt").exists()
    assert project.client.get_logged_model(project.model).model_id
    assert project.predicts(f"models:/{project.model}") == pytest.approx(20)


def test_what_mlflow_gc_leaves(project: Project) -> None:
    """The run's inputs and outputs, and then their tags."""
    from click.testing import CliRunner
    from mlflow.cli import gc

    full = project.run("full")
    project.client.delete_run(full)
    uri = f"sqlite:///{project.store}"
    done = CliRunner().invoke(
        gc, ["--backend-store-uri", uri, "--tracking-uri", uri, "--run-ids", full]
    )
    assert done.exit_code == 0, done.output
    assert told(project.check()) == ["1 row of inputs without their runs"] * 2
    assert project.one("SELECT count(*) FROM input_tags") == 1
    assert project.mend() == []
    assert project.one("SELECT count(*) FROM input_tags") == 0


def test_runs_without_their_experiment(project: Project) -> None:
    """They are not deleted for it: the experiment is made again."""
    runs = project.sql("SELECT * FROM runs")
    project.sql("DELETE FROM experiments")
    project.sql(
        "INSERT INTO experiments (experiment_id, name, lifecycle_stage, artifact_location)"
        " VALUES (5, 'found again 0', 'active', ?)",
        f"{project.mlruns}/5",
    )
    assert any("runs without their experiments" in each for each in told(project.check()))
    assert project.mend() == []
    assert project.sql("SELECT * FROM runs") == runs
    experiment = project.client.get_experiment("0")
    assert experiment.name == "found again 0'" and experiment.lifecycle_stage == "active"
    assert len(project.client.search_runs(["0"])) == 2
    assert project.predicts(f"models:/{project.model}") == pytest.approx(20)


def test_a_version_without_its_model(project: Project) -> None:
    project.sql("DELETE FROM registered_models")
    assert project.mend() == []
    assert project.predicts("models:/doubler/1") == pytest.approx(20)


def test_what_hangs_on_an_orphan(project: Project) -> None:
    """Found only once that is deleted."""
    project.sql("DELETE FROM trace_info")
    span = project.sql("SELECT trace_id, span_id FROM spans")[0]
    project.sql("INSERT INTO span_metrics VALUES (?, ?, 'cost', 1.0)", *span)
    assert any(each.startswith("1 row of spans ") for each in told(project.check()))
    assert names(project.mend()) == []
    assert project.one("SELECT count(*) FROM span_metrics") == 0


def test_a_column_that_mlflow_would_empty(project: Project) -> None:
    project.sql(
        "INSERT INTO issues (issue_id, experiment_id, name, description, status, source_run_id,"
        " created_timestamp, last_updated_timestamp) VALUES ('i', 0, 'n', 'd', 'open', 'gone', 1, 1)"
    )
    assert told(project.check()) == ["1 row of issues without their runs"]
    assert project.mend() == []
    assert project.sql("SELECT name, source_run_id FROM issues") == [("n", None)]


def test_ends_without_a_foreign_key(project: Project) -> None:
    bare = project.run("bare")
    rows: list[tuple[Any, ...]] = [
        ("a1", "run", bare, "trace", "tr-gone"),
        ("a2", "evaluation_dataset", "d-gone", "experiment", "0"),
        ("a3", "run", bare, "experiment", "0"),
        ("a4", "run", bare, "comet", "nobody knows"),
    ]
    for row in rows:
        project.sql("INSERT INTO entity_associations VALUES (?, ?, ?, ?, ?, 1)", *row)
    project.sql("INSERT INTO input_tags VALUES ('gone', 'mlflow.data.context', 'training')")
    assert told(project.check()) == [
        "1 row of entity_associations without their evaluation_datasets",
        "1 row of entity_associations without their trace_info",
        "1 row of input_tags without their inputs",
    ]
    assert project.mend() == []
    kept = project.sql("SELECT association_id FROM entity_associations ORDER BY 1")
    assert kept == [("a3",), ("a4",)]
    assert project.one("SELECT count(*) FROM input_tags") == 1


def test_a_model_whose_run_is_gone_is_fine(project: Project) -> None:
    project.sql("UPDATE logged_models SET source_run_id = 'gone'")
    project.sql("UPDATE model_versions SET run_id = 'gone'")
    assert project.check() == []


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE latest_metrics SET step = 1, value = 0.5, timestamp = 5001",
        "DELETE FROM latest_metrics",
    ],
)
def test_latest_metrics_behind_their_history(project: Project, change: str) -> None:
    full = project.run("full")
    right = project.dump()
    project.sql(f"{change} WHERE run_uuid = '{full}'")
    (found,) = project.check()
    assert found.told == "1 metric: the latest value is out of date"
    assert found.items == (f"loss of run {full}",)
    assert project.mend() == []
    assert sorted(project.dump()) == sorted(right)
    assert project.client.get_run(full).data.metrics == {"loss": 0.2}


def test_a_history_that_was_cut(project: Project) -> None:
    """The latest value is the last trace of what was logged: it is kept."""
    full = project.run("full")
    project.sql("DELETE FROM metrics WHERE run_uuid = ? AND step > 1", full)
    (found,) = project.check()
    assert found.told == "1 metric: the history lacks the latest value"
    assert project.mend() == []
    history = project.client.get_metric_history(full, "loss")
    assert [point.step for point in history] == [0, 1, 4]
    assert project.client.get_run(full).data.metrics == {"loss": 0.2}


def test_metrics_that_are_no_numbers(project: Project) -> None:
    bare = project.run("bare")
    for value in (float("nan"), float("inf"), float("-inf")):
        project.client.log_metric(bare, f"odd{value}", value, step=3)
        project.client.log_metric(bare, f"odd{value}", -1.0, step=3, timestamp=1)
    assert project.check() == []


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
    project.sql("INSERT INTO params (key, value, run_uuid) VALUES ('lr', '1', 'gone')")
    project = project.moved(tmp_path / "new")
    assert sorted(names(project.check())) == ["orphans", "paths"]
    assert names(project.mend()) == []


@pytest.mark.parametrize("step", [1, 2, 200_000])
def test_everything_at_once(project: Project, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (orphans, latest_metrics):
        monkeypatch.setattr(module, "STEP", step)
    bare = project.run("bare")
    project.sql("DELETE FROM runs WHERE run_uuid = ?", project.run("full"))
    project.sql("UPDATE latest_metrics SET step = -1 WHERE run_uuid = ?", bare)
    project.sql("UPDATE runs SET artifact_uri = 'mlflow-artifacts:/0/x/artifacts'")
    project.sql("UPDATE experiments SET artifact_location = 'mlflow-artifacts:/0'")
    found = project.check()
    assert set(names(found)) == {"orphans", "metrics", "paths"}
    assert "5 rows of metrics without their runs" in told(found)
    assert names(project.mend()) == []
    assert project.one("SELECT step FROM latest_metrics WHERE run_uuid = ?", bare) == 0
