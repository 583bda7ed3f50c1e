"""save_mlflow: what is refused, what is written, and which run it is put into."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking._tracking_service.registry import TrackingStoreRegistry
from sklearn.linear_model import LogisticRegression

from lib.tracking import Saved, SaveError
from lib.tracking import run as run_module
from lib.tracking import save_mlflow
from remote.runtime.remote_job_mlflow import JobContext
from tests.conftest import ROOT
from tests.integration.witness import Run, Store
from tests.stores import empty_store


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that MLflow made."""
    folder = tmp_path_factory.mktemp("template")
    return empty_store(folder)


@pytest.fixture
def project(tmp_path: Path, template: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project's root, in the place of the package's own. We stand in its notebooks' folder."""
    root = tmp_path / "it's a project 日本"
    (root / "src/notebooks").mkdir(parents=True)
    shutil.copy(template, root)
    monkeypatch.setattr(run_module, "project", lambda: root)
    monkeypatch.chdir(root / "src/notebooks")
    yield root
    # What these tests chose is not to be the next ones' default.
    while mlflow.active_run():
        mlflow.end_run()
    mlflow.set_tracking_uri(None)


def runs(project: Path) -> list[Run]:
    return Store(project / "mlflow.db").runs()


def only(project: Path) -> Run:
    (run,) = runs(project)
    return run


def save(**given: Any) -> Saved:
    return save_mlflow(**{"experiment_name": "trial", "do_commit": False, **given})


def test_all_of_an_experiment(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = project / "data/raw/set"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep/a.bin").write_bytes(b"\0\1")
    (folder / "link").symlink_to(folder / "deep/a.bin")
    saved = save(
        experiment_name="test 実験 'exp'",
        run_name="first\ntry",
        description="Test *experiment*",
        params={"p1": 1.0, "layers/one": [1, 2], "学習率": None},
        metrics={"recall": 0.8, "f1 score": 1, "loss": float("nan")},
        dataset={"train.csv": pd.DataFrame({"名": ["日本"]}), "set": folder},
        model={"classifier.mdl": LogisticRegression()},
        result={"it's 結果 #1 50%.txt": "one\r\ntwo\n", "b": folder / "deep/a.bin"},
    )
    run = only(project)
    assert (run.id, run.experiment, run.status) == (saved.run_id, "test 実験 'exp'", "FINISHED")
    assert run.params == {"p1": "1.0", "layers/one": "[1, 2]", "学習率": "None"}
    assert run.history("recall") == [(0, 0.8)] and run.history("f1 score") == [(0, 1.0)]
    assert run.tags["mlflow.note.content"] == "Test *experiment*"
    assert run.tags["mlflow.runName"] == "first try"
    assert run.artifacts.is_relative_to(project / "mlruns"), "and not below the notebooks"
    files = {
        path.relative_to(run.artifacts).as_posix(): path.read_bytes()
        for path in run.artifacts.rglob("*")
        if path.is_file()
    }
    assert files.pop("model/classifier.mdl")
    assert files == {
        "dataset/train.csv": "\ufeff名\n日本\n".encode(),
        "dataset/set/deep/a.bin": b"\0\1",
        "dataset/set/link": b"\0\1",
        "result/it's 結果 #1 50%.txt": b"one\r\ntwo\n",
        "result/b": b"\0\1",
    }
    assert f"Saved as run {run.id}" in capsys.readouterr().out and saved.see == "inv ui"


def test_rows_that_have_names_keep_them(project: Path) -> None:
    table = pd.DataFrame({"score": [1, 2]}, index=pd.Index(["a", "b"], name="who"))
    save(result={"named.csv": table, "part.csv": pd.DataFrame({"x": [1, 2, 3]})[1:]})
    folder = only(project).artifacts / "result"
    assert (folder / "named.csv").read_text("utf-8-sig") == "who,score\na,1\nb,2\n"
    assert (folder / "part.csv").read_text("utf-8-sig") == "x\n2\n3\n"


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a/b", "/a", "../a", "a\\b", "a\0b", "a\nb", "日" * 100, 1, None, Path("a")],
)
@pytest.mark.parametrize("folder", ["dataset", "model", "result"])
def test_a_name_that_is_no_file_s(folder: str, name: Any, project: Path) -> None:
    with pytest.raises(SaveError, match=f"{folder}: .* can't be the name of a file"):
        save(**{folder: {"good": Path(__file__), name: Path(__file__)}})
    assert runs(project) == []


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"dataset": {"a": 1}}, r"dataset\['a'\] is a builtins.int. It must be a str, a pandas"),
        ({"result": {"a": b"bytes"}}, "It must be a str, a pandas"),
        ({"result": {"a": pd.Series([1])}}, "pandas.*Series. It must be a str, a pandas"),
        ({"model": {"a": "text"}}, "It must be a model of transformers"),
        ({"model": {"a": ()}}, "It must be a model of transformers"),
        ({"model": {"a": LogisticRegression}}, "It must be a model of transformers"),
        ({"model": LogisticRegression()}, "model must be a dict"),
        ({"dataset": ["a.csv"]}, "dataset must be a dict"),
        ({"dataset": {"a": Path("gone.csv")}}, "gone.csv is neither a file nor a folder"),
        ({"params": ["a"]}, "params must be a dict"),
        ({"params": {"a=b": 1}}, "params: 'a=b' can't be a name"),
        ({"params": {"../a": 1}}, "params: '../a' can't be a name"),
        ({"params": {"a/": 1}}, "can't be a name"),
        ({"params": {1: 1}}, "can't be a name"),
        ({"metrics": {"": 1}}, "can't be a name"),
        ({"metrics": {"f1": "0.8"}}, r"metrics\['f1'\] must be one number, not a str"),
        ({"metrics": {"f1": [0.8, 0.9]}}, "must be one number, not a list"),
        ({"metrics": {"f1": None}}, "must be one number"),
        ({"experiment_name": ""}, "experiment_name"),
        ({"experiment_name": None}, "experiment_name"),
        ({"experiment_name": "x" * 501}, "experiment_name"),
    ],
)
def test_what_is_refused_before_anything_is_recorded(
    given: dict[str, Any], told: str, project: Path
) -> None:
    with pytest.raises(SaveError, match=told):
        save(**given)
    assert runs(project) == []
    assert Store(project / "mlflow.db").rows("SELECT count(*) FROM experiments") == [(1,)]


def test_names_that_are_refused_here_are_those_that_mlflow_refuses(project: Path) -> None:
    from mlflow.utils.validation import _validate_param_name

    from lib.tracking.save import _named

    for name in ("a", "a/b", "a b", "a:b", "..a", "a..", "é", ".", "..", "../a", "a/../b", "/a", "a//b", "./a", "a/", "a\n", "a%"):  # fmt: skip
        refused = []
        for check in (lambda name: _named("params", name), _validate_param_name):
            try:
                check(name)
            except (SaveError, MlflowException):
                refused.append(check)
        assert len(refused) in (0, 2) or name in ("..a", "a\n"), name


def test_the_folder_of_the_records_is_not_copied_into_itself(project: Path) -> None:
    (project / "mlruns").mkdir()
    for folder in (project, project / "mlruns", Path("../..")):
        with pytest.raises(SaveError, match="where the records lie themselves"):
            save(dataset={"all": folder})
    save(dataset={"notebooks": Path("..")})
    assert only(project).status == "FINISHED"


def test_what_fails_in_the_middle_is_failed(project: Path) -> None:
    class Unwritable(LogisticRegression):
        """scikit-learn's, but nothing that pickle takes."""

    with pytest.raises(Exception, match="pickle"):
        save(result={"a.txt": "a"}, model={"a.mdl": Unwritable()}, params={"a": 1})
    run = only(project)
    assert run.status == "FAILED" and run.params == {"a": "1"}


def test_a_thing_s_library_is_not_looked_for(project: Path) -> None:
    """torch isn't even here, nor does a text need pandas."""
    script = (
        "import sys; from lib.tracking.items import data; from lib.tracking.models import writer\n"
        "assert data('text') and data(1) is None and writer(1) is None\n"
        "print([name for name in sys.modules if name in ('pandas', 'torch', 'mlflow', 'sklearn')])"
    )
    env = {"PYTHONPATH": str(ROOT / "src")}
    argv = [sys.executable, "-c", script]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# Which store, which run --------------------------------------------------------------------------


def test_another_store(project: Path, tmp_path: Path, template: Path) -> None:
    shutil.copy(template, tmp_path / "other.db")
    save(mlf_uri=f"sqlite:///{tmp_path}/other.db")
    assert runs(project) == [] and len(Store(tmp_path / "other.db").runs()) == 1


def test_the_environment_s_store(
    project: Path, tmp_path: Path, template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(template, tmp_path / "other.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/other.db")
    save()
    assert runs(project) == [] and len(Store(tmp_path / "other.db").runs()) == 1


def test_what_was_made_in_the_ui_has_its_artifacts_there(project: Path) -> None:
    client = mlflow.MlflowClient(f"sqlite:///{project}/mlflow.db")
    client.create_experiment("in the ui", artifact_location="mlflow-artifacts:/9")
    with pytest.raises(SaveError, match="while the UI runs, mlf_uri="):
        save(experiment_name="in the ui")
    assert runs(project) == []


def test_a_deleted_experiment(project: Path) -> None:
    client = mlflow.MlflowClient(f"sqlite:///{project}/mlflow.db")
    client.delete_experiment(client.create_experiment("gone"))
    with pytest.raises(SaveError, match="mlflow experiments restore -x 1"):
        save(experiment_name="gone")


@pytest.fixture
def job(project: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The run of a job that this process belongs to, in the experiment `trial`."""
    uri = f"sqlite:///{project}/mlflow.db"
    monkeypatch.setenv("REMOTE_JOB_STORE", f"{project}/mlflow.db")
    monkeypatch.setenv("REMOTE_JOB_TAGS", "{}")
    # What MLflow does with the entry point of the agent's zip.
    builder = TrackingStoreRegistry.get_store_builder
    monkeypatch.setattr(TrackingStoreRegistry, "get_store_builder", builder)
    JobContext()
    client = mlflow.MlflowClient(uri)
    made = client.create_run(client.create_experiment("trial"), run_name="job").info.run_id
    client.log_param(made, "epoch", "5")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("REMOTE_JOB_RUN", made)
    monkeypatch.setenv("REMOTE_JOB_OFFER", f"{os.getpid()} {made}")
    return str(made)


def test_the_run_of_the_job_is_gone_on_with_once(job: str, project: Path) -> None:
    assert save(params={"epoch": 5, "lr": 0.1}, run_name="mine").run_id == job
    assert only(project).status == "FINISHED"
    assert only(project).params == {"epoch": "5", "lr": "0.1"}
    assert only(project).tags["mlflow.runName"] == "mine"
    second = save()
    assert second.run_id != job
    [run] = [run for run in runs(project) if run.id == second.run_id]
    assert run.status == "FINISHED"


def test_the_run_of_the_job_goes_where_it_is_asked_for(job: str, project: Path) -> None:
    save(experiment_name="other", params={"epoch": 6})
    run = only(project)
    assert (run.id, run.experiment, run.params) == (job, "other", {"epoch": "6"})
    save(params={"epoch": 7})
    [second] = [run for run in runs(project) if run.id != job]
    assert second.experiment == "trial" and second.tags["mlflow.parentRunId"] == job


def test_another_store_knows_nothing_of_the_job_s_run(
    job: str, project: Path, tmp_path: Path, template: Path
) -> None:
    shutil.copy(template, tmp_path / "other.db")
    save(mlf_uri=f"sqlite:///{tmp_path}/other.db")
    [run] = Store(tmp_path / "other.db").runs()
    assert "mlflow.parentRunId" not in run.tags and run.status == "FINISHED"


def test_a_run_that_is_open_is_gone_on_with(project: Path) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{project}/mlflow.db")
    mlflow.set_experiment("trial")
    with mlflow.start_run() as mine:
        assert save(metrics={"f1": 1}).run_id == mine.info.run_id
        other = save(experiment_name="other").run_id
        assert mlflow.active_run().info.run_id == mine.info.run_id
    found = {run.id: run for run in runs(project)}
    assert found[mine.info.run_id].status == "FINISHED"
    assert found[other].tags["mlflow.parentRunId"] == mine.info.run_id
