"""`mlflow-pull`, `mlflow-merge`, `mlflow-conflicts`, as they are typed, against a real sshd."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from scripts.sshd import free_port
from tests.conftest import ProjectFolder
from tests.integration.witness import Store
from tests.tracking.export.conftest import serving
from tests.tracking.merge.conftest import Project

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def far(project: ProjectFolder, target_root: Path, template: Path) -> Project:
    """A target with a store of two runs, with an artifact; the project's own store is there too."""
    project.inv("sync-push")
    Project(project.root, template)
    store = Project(target_root, template)
    experiment = store.experiment("digits")
    for _ in range(2):
        run_id = store.run(experiment)
        folder = store.mlruns / experiment / run_id / "artifacts"
        folder.mkdir(parents=True)
        (folder / "note.txt").write_text(run_id)
    return store


def runs(project: ProjectFolder) -> dict[str, str]:
    with closing(sqlite3.connect(project.root / "mlflow.db")) as database:
        return dict(database.execute("SELECT run_uuid, artifact_uri FROM runs"))


def only_run(project: ProjectFolder) -> str:
    return sorted(runs(project))[0]


def test_records_come_with_their_artifacts_and_in_one_line(
    project: ProjectFolder, far: Project
) -> None:
    said = project.inv("mlflow-pull")
    assert said.out.startswith("merged from gpu:")
    assert "2 new runs, 0 grown, 2 artifacts" in said.out and said.out.count("\n") == 1
    for run_id, folder in runs(project).items():
        assert Path(folder, "note.txt").read_text() == run_id
        assert folder.startswith(str(project.root / "mlruns"))
    before = (project.root / "mlflow.db").read_bytes()
    assert "0 new runs, 0 grown, 0 artifacts" in project.inv("mlflow-pull").out
    assert (project.root / "mlflow.db").read_bytes() == before


def test_a_dry_run_says_the_same_and_changes_nothing(project: ProjectFolder, far: Project) -> None:
    before = (project.root / "mlflow.db").read_bytes()
    said = project.inv("mlflow-pull", "--dry-run")
    assert said.out.startswith("would merge from gpu:") and "2 new runs" in said.out
    assert (project.root / "mlflow.db").read_bytes() == before
    assert not (project.root / "mlruns/1").exists()
    assert "would pull" in project.inv("sync-pull", "--dry-run").out
    assert "2 new runs" in project.inv("mlflow-pull").out


def test_json_tells_it_all(project: ProjectFolder, far: Project) -> None:
    told = json.loads(project.inv("mlflow-pull", "--json").out)
    assert told["summary"]["new_runs"] == 2 and len(told["artifacts"]) == 2
    assert sorted(told["summary"]["run_ids"]) == sorted(runs(project))


def test_no_store_there_is_no_error(project: ProjectFolder) -> None:
    project.inv("sync-push")
    assert "no MLflow records yet" in project.inv("mlflow-pull").err
    assert json.loads(project.inv("mlflow-pull", "--json").out)["summary"] is None


def test_conflicts_are_listed_and_settled(project: ProjectFolder, far: Project) -> None:
    project.inv("mlflow-pull")
    run_id = only_run(project)
    here = Project.__new__(Project)
    here.root, here.store = project.root, project.root / "mlflow.db"
    here.client.set_tag(run_id, "colour", "blue")
    far.client.set_tag(run_id, "colour", "green")
    said = project.inv("sync-pull")
    assert f"kept yours: tags {run_id}/colour value = 'blue' (theirs: 'green')" in said.err
    assert "1 conflict" in said.out and "inv mlflow-conflicts" in said.err
    listed = project.inv("mlflow-conflicts").out
    assert "  1  tags" in listed and "yours 'blue', theirs 'green' (gpu:" in listed
    assert project.inv("mlflow-conflicts", "--theirs", "7", check=False).code == 2
    assert "theirs taken" in project.inv("mlflow-conflicts", "--theirs", "1").err
    assert Store(here.store).rows("SELECT value FROM tags WHERE key = 'colour'")[0] != ("blue",)
    assert "No conflicts." in project.inv("mlflow-conflicts").err
    assert json.loads(project.inv("mlflow-conflicts", "--json").out)["conflicts"] == []


def test_registered_models_come_when_asked_for(project: ProjectFolder, far: Project) -> None:
    run_id = far.one("SELECT min(run_uuid) FROM runs")
    far.client.create_registered_model("clf")
    far.client.create_model_version("clf", f"{far.mlruns}/1/{run_id}/artifacts", run_id=run_id)
    said = project.inv("mlflow-pull")
    assert "not merged: registered_models (--registry merges it)" in said.err
    assert "1 registered version" in project.inv("mlflow-pull", "--registry").out
    project.write(".env", "REMOTE_REGISTRY=yes\n")
    assert "registered_models" not in project.inv("sync-pull").err


def test_stores_that_jobs_made_themselves_come_too(
    project: ProjectFolder, far: Project, template: Path
) -> None:
    """One in a job's folder, and a file store where plain MLflow 2 puts it."""
    job = far.root / ".remote/jobs/20260101-000000-own-abcd"
    (job / "code").mkdir(parents=True)
    (job / "job.json").write_text("{}")
    (job / "status.json").write_text('{"state": "finished"}')
    own = Project(job / "elsewhere", template)
    run_id = own.run(own.experiment("private"))
    location = f"{job}/code/mlruns/1/{run_id}/artifacts"
    own.sql("UPDATE runs SET artifact_uri = ?", location)
    shutil.copy(own.store, job / "code/tracking.db")
    (far.mlruns / "1" / run_id / "artifacts").mkdir(parents=True)
    (far.mlruns / "1" / run_id / "artifacts/own.txt").write_text("mine")
    write_file_store(far.mlruns)

    said = project.inv("mlflow-pull")
    assert "4 new runs" in said.out, said.text
    assert Path(runs(project)[run_id], "own.txt").read_text() == "mine"
    assert Path(runs(project)["f" * 32], "old.txt").read_text() == "old"
    assert not list((project.root / "mlruns").glob("*/meta.yaml"))
    assert "0 new runs, 0 grown" in project.inv("mlflow-pull").out


def write_file_store(mlruns: Path) -> None:
    """One experiment with one run, as MLflow 2 wrote them."""
    run_id, experiment = "f" * 32, mlruns / "77"
    folder = experiment / run_id
    for name in ("artifacts", "metrics", "params", "tags"):
        (folder / name).mkdir(parents=True)
    (experiment / "meta.yaml").write_text(
        f"artifact_location: file://{experiment}\ncreation_time: 5\nexperiment_id: '77'\n"
        "last_update_time: 5\nlifecycle_stage: active\nname: old\n"
    )
    (folder / "meta.yaml").write_text(
        f"artifact_uri: file://{folder}/artifacts\nend_time: 9\nentry_point_name: ''\n"
        f"experiment_id: '77'\nlifecycle_stage: active\nrun_id: {run_id}\nrun_name: old one\n"
        f"run_uuid: {run_id}\nsource_name: ''\nsource_type: 4\nsource_version: ''\n"
        "start_time: 7\nstatus: 3\ntags: []\nuser_id: ada\n"
    )
    (folder / "metrics/loss").write_text("7 0.5 0\n8 0.25 1\n")
    (folder / "params/lr").write_text("0.1")
    (folder / "artifacts/old.txt").write_text("old")


@pytest.mark.parametrize("form", ["folder", "file", "address"])
def test_a_store_on_disk_is_merged(
    project: ProjectFolder, far: Project, tmp_path: Path, form: str
) -> None:
    """A colleague's project that was copied here: its paths name a folder that isn't there."""
    copied = tmp_path / "a colleague's copy"
    shutil.copytree(far.root, copied, ignore=shutil.ignore_patterns(".remote"), symlinks=True)
    shutil.rmtree(far.mlruns)
    words = {
        "folder": str(copied),
        "file": str(copied / "mlflow.db"),
        "address": f"sqlite:///{copied}/mlflow.db",
    }
    said = project.inv("mlflow-merge", words[form])
    assert "2 new runs, 0 grown, 2 artifacts" in said.out, said.text
    for run_id, folder in runs(project).items():
        assert Path(folder, "note.txt").read_text() == run_id
    assert "0 new runs, 0 grown, 0 artifacts" in project.inv("mlflow-merge", words[form]).out


def test_a_file_store_on_disk_is_merged_whatever_its_name(
    project: ProjectFolder, far: Project, tmp_path: Path
) -> None:
    write_file_store(tmp_path / "old runs")
    assert (
        "1 new run, 0 grown, 1 artifact"
        in project.inv("mlflow-merge", str(tmp_path / "old runs")).out
    )
    assert Path(runs(project)["f" * 32], "old.txt").read_text() == "old"


@pytest.mark.parametrize(
    "word, said",
    [
        ("no/such.db", "There is no"),
        ("src", "isn't an MLflow store"),
        ("tasks.py", "isn't an MLflow store"),
        ("https://example.org", "Only a store on this machine's disk"),
        ("mlflow.db", "is the store that records are merged into"),
    ],
)
def test_what_is_no_store_is_refused(
    project: ProjectFolder, far: Project, word: str, said: str
) -> None:
    done = project.inv("mlflow-merge", word, check=False)
    assert (done.code, said in done.err) == (2, True), done.text


def test_another_sqlite_store_by_its_address(
    project: ProjectFolder, far: Project, template: Path, tmp_path: Path
) -> None:
    other = Project(tmp_path / "other", template)
    address = f"sqlite:///{other.store}"
    said = project.inv("mlflow-pull", MLFLOW_TRACKING_URI=address)
    assert "2 new runs" in said.out and runs(project) == {}
    assert other.one("SELECT count(*) FROM runs") == 2
    assert "2 new runs" in project.inv("mlflow-pull").out
    assert "0 new runs" in project.inv("mlflow-pull", MLFLOW_TRACKING_URI=address).out


def test_what_was_merged_is_exported_to_an_mlflow_server(
    project: ProjectFolder, far: Project, template: Path, tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    nobody = f"http://me:hunter2@127.0.0.1:{free_port()}"
    done = project.inv("mlflow-pull", MLFLOW_TRACKING_URI=nobody, check=False)
    assert done.code == 2 and "2 new runs" in done.out, done.text
    assert "can't be reached" in done.err and "hunter2" not in done.text
    assert len(runs(project)) == 2
    (tmp_path / "served").mkdir()
    shutil.copy(template / "mlflow.db", tmp_path / "served/server.db")
    with serving(tmp_path / "served") as address:
        project.write(".env", f"MLFLOW_TRACKING_URI={address}\n")
        said = project.inv("mlflow-pull", "--dry-run")
        assert f"would export to {address}: 2 runs" in said.out, said.text
        said = project.inv("sync-pull")
        assert "0 new runs" in said.out
        assert f"exported to {address}: 2 new runs, 0 grown" in said.out
        assert "2 artifacts" in said.out and "new ids" in said.err
        again = project.inv("mlflow-pull")
        assert "exported" not in again.out and "new ids" not in again.err
        client = MlflowClient(address)
        run, _ = client.search_runs([client.get_experiment_by_name("digits").experiment_id])
        note = client.download_artifacts(run.info.run_id, "note.txt", str(tmp_path))
        assert Path(note).read_text() == run.data.tags["remote.source_run"]
        far.client.set_tag(run.data.tags["remote.source_run"], "colour", "green")
        told = json.loads(project.inv("mlflow-pull", "--json").out)
        assert (told["export"]["server"], told["export"]["grown_runs"]) == (address, 1)
        assert client.get_run(run.info.run_id).data.tags["colour"] == "green"
    assert "No conflicts" in project.inv("mlflow-conflicts").err


def test_a_store_that_nothing_can_be_merged_into(project: ProjectFolder, far: Project) -> None:
    done = project.inv("mlflow-pull", MLFLOW_TRACKING_URI="file:///tmp/x", check=False)
    assert done.code == 2 and "MLFLOW_TRACKING_URI=file:///tmp/x" in done.err


def test_no_secret_of_the_address_is_shown(project: ProjectFolder, far: Project) -> None:
    address = "postgresql://me:hunter2@127.0.0.1:9/none"
    done = project.inv("mlflow-pull", MLFLOW_TRACKING_URI=address, check=False)
    assert done.code == 2 and "hunter2" not in done.text
    assert "mlflow server --backend-store-uri" in done.err


def test_interrupted_while_it_fetches_nothing_is_left(project: ProjectFolder, far: Project) -> None:
    project.inv("mlflow-pull")
    assert [name for name in os.listdir(project.root / ".remote") if "delta" in name] == []
    assert list((far.root / ".remote").glob("delta-*")) == []
