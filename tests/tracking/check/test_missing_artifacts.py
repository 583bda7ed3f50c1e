"""Artifacts that records name."""

from __future__ import annotations

import shutil

from tests.tracking.check.conftest import Project


def test_artifacts_that_are_missing(project: Project) -> None:
    full, bare, model = project.run("full"), project.run("bare"), project.model
    trace = project.one("SELECT request_id FROM trace_info")
    shutil.rmtree(project.mlruns / "0" / "models")
    shutil.rmtree(project.mlruns / "0" / "traces", ignore_errors=True)
    project.sql(
        "UPDATE trace_tags SET value = 'ARTIFACT_REPO' WHERE key = 'mlflow.trace.spansLocation'"
    )
    for run, tag, value in (
        (
            full,
            "mlflow.loggedArtifacts",
            '[{"path": "notes/hello.txt", "type": "table"}, {"path": "t.json"}]',
        ),
        (full, "mlflow.log-model.history", '[{"artifact_path": "old/model"}]'),
        (bare, "mlflow.log-model.history", "no JSON"),
    ):
        project.sql("INSERT INTO tags VALUES (?, ?, ?)", tag, value, run)
    (found,) = project.check()
    assert found.name == "artifacts" and not found.mendable and "sync-pull" in found.step
    assert set(found.items) == {
        f"model {model}",
        "model version doubler/1",
        f"trace {trace}",
        f"t.json of run {full}",
        f"old/model of run {full}",
    }


def test_a_model_without_files_of_its_own(project: Project) -> None:
    shutil.rmtree(project.mlruns / "0" / "models")
    project.sql("DELETE FROM model_versions")
    tag = "INSERT INTO logged_model_tags (model_id, experiment_id, tag_key, tag_value) VALUES (?, 0, ?, 'true')"
    project.sql(tag, project.model, "mlflow.model.isExternal")
    assert project.check() == []
