"""`inv mlflow-pull`, `mlflow-push`, `mlflow-merge`, `mlflow-conflicts`: what they print."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from invoke.context import Context
from invoke.exceptions import Exit

from remote.agent.tracking import run_rows
from remote.config import find_project
from remote.session import TargetSession
from remote.tasks import records
from tests.stores import empty_store


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return empty_store(tmp_path_factory.mktemp("empty"))


def store(root: Path, empty: Path, *runs: str, name: str = "sunny") -> Path:
    root.mkdir(parents=True, exist_ok=True)
    shutil.copy(empty, root / "mlflow.db")
    for run in runs:
        tags = {"mlflow.runName": name, "mlflow.user": "ada"}
        begun = run_rows.begin(
            root / "mlflow.db", experiment="digits", run_id=run, tags=tags, start_ms=1
        )
        (begun.artifact_dir / "note.txt").write_text("note")
        run_rows.close(root / "mlflow.db", run, status="FINISHED", end_ms=2)
    return root / "mlflow.db"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, empty: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory's project; its target is a folder of this machine."""
    root = tmp_path / "project"
    store(root, empty)
    (root / "tasks.py").touch()
    monkeypatch.chdir(root)
    monkeypatch.setenv("TARGET_DIR", str(tmp_path / "target"))
    return root


@pytest.fixture
def target(tmp_path: Path, empty: Path) -> Path:
    """The target, ready, with one run."""
    store(tmp_path / "target", empty, "f1")
    project = find_project()
    TargetSession.of(project, project.target()).prepare(take_over=True)
    return tmp_path / "target"


def document(capsys: pytest.CaptureFixture[str]) -> Any:
    """What was printed, which is JSON and nothing else."""
    return json.loads(capsys.readouterr().out)


def test_a_merge_is_told_in_one_line(
    tmp_path: Path, empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = store(tmp_path / "theirs", empty, "t1")
    records.mlflow_merge(Context(), str(theirs), dry_run=True)
    assert capsys.readouterr().out.startswith(f"would merge {theirs}: 1 new run")
    records.mlflow_merge(Context(), str(theirs))
    assert capsys.readouterr().out.startswith(f"merged {theirs}: 1 new run, ")


def test_a_merge_as_json_says_what_was_merged(
    tmp_path: Path, empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = store(tmp_path / "theirs", empty, "t1")
    records.mlflow_merge(Context(), str(theirs), dry_run=True, json=True)
    would = document(capsys)
    assert (would["store"], would["dry_run"], would["artifacts"]) == (str(theirs), True, [])
    records.mlflow_merge(Context(), str(theirs), json=True)
    did = document(capsys)
    assert did["dry_run"] is False and did["summary"]["new_runs"] == 1
    assert [Path(name).name for name in did["artifacts"]] == ["note.txt"]


def test_a_pull_says_where_the_records_are_from(
    target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records.mlflow_pull(Context())
    assert capsys.readouterr().out.startswith(f"merged from {target}: 1 new run, 0 grown, ")
    records.mlflow_pull(Context(), json=True)
    assert (document(capsys))["target"] == str(target)


def test_a_target_without_records_is_told_by_its_name(
    target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (target / "mlflow.db").unlink()
    records.mlflow_pull(Context())
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", f"{target} has no MLflow records yet.\n")


def test_a_push_of_runs_is_told(
    here: Path, target: Path, empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store(here, empty, "r1")
    records.mlflow_push(Context(), run=["r1"], dry_run=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["copy    r1", "copy    mlruns/1/r1/artifacts/note.txt"]
    assert lines[2].startswith(f"would copy to {target}: 1 run (1 new), 1 artifact, 4 B, ")
    records.mlflow_push(Context(), run=["r1"])
    assert capsys.readouterr().out.startswith(f"copied to {target}: 1 run (1 new), 1 artifact,")
    records.mlflow_push(Context(), run=["r1"], json=True)
    did = document(capsys)
    assert (did["target"], did["dry_run"]) == (str(target), False)
    assert (did["runs"], did["new_runs"], did["files"]) == (["r1"], 0, [])


def test_a_push_without_a_run_says_what_to_name(here: Path) -> None:
    with pytest.raises(Exit, match="No run is named"):
        records.mlflow_push(Context())


# Conflicts


@pytest.fixture
def conflict(here: Path, target: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A run that was renamed here and there since the last pull."""
    records.mlflow_pull(Context())
    for root, name in ((here, "mine"), (target, "their\x1bs")):
        run_rows.update(root / "mlflow.db", "f1", name=name)
    records.mlflow_pull(Context())
    capsys.readouterr()
    return here


def name_of(root: Path) -> str:
    return run_rows._value(root / "mlflow.db", "f1", "r.name") or ""


def test_without_conflicts_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    records.mlflow_conflicts(Context())
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "No conflicts.\n")
    records.mlflow_conflicts(Context(), json=True)
    assert document(capsys)["conflicts"] == []


def test_a_conflict_is_listed_with_both_values(
    conflict: Path, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records.mlflow_conflicts(Context())
    said = capsys.readouterr()
    assert said.out == (f"  1  runs f1 name: yours 'mine', theirs 'their\\x1bs' ({target})\n")
    assert "inv mlflow-conflicts --theirs NUMBER (or --ours)" in said.err
    records.mlflow_conflicts(Context(), json=True)
    (entry,) = document(capsys)["conflicts"]
    assert (entry["number"], entry["source"], entry["column"]) == (1, str(target), "name")
    assert (entry["ours"], entry["theirs"]) == ("mine", "their\x1bs")


@pytest.mark.parametrize(("side", "name"), [("theirs", "their\x1bs"), ("ours", "mine")])
def test_a_conflict_that_is_settled_is_listed_no_more(
    conflict: Path, capsys: pytest.CaptureFixture[str], side: str, name: str
) -> None:
    outcome = {"theirs": "theirs taken", "ours": "yours kept"}[side]
    records.mlflow_conflicts(Context(), conflict=["1"], **{side: True})
    assert f"1 conflict resolved: {outcome}." in capsys.readouterr().err
    assert name_of(conflict) == name
    records.mlflow_conflicts(Context())
    assert capsys.readouterr().err == "No conflicts.\n"
