"""Hydra's callback, called in this process with what Hydra composed: the rows that it writes."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.types import RunMode
from omegaconf import OmegaConf

from remote.agent.tracking import run_rows
from remote.job.paths import JobPaths
from remote.job.spec import Job
from remote.runtime import hydra_callback
from remote.runtime.hydra_callback import JobCallback
from tests.stores import empty_store

CONFIG = """
defaults:
  - model: small
  - _self_
rate: 0.10
tiny: 1e-05
layers: [1, 2]
note: null
"""

#: The job's own run.
OWN = "f1"


@pytest.fixture(autouse=True)
def conf(tmp_path: Path) -> Iterator[None]:
    folder = tmp_path / "conf"
    (folder / "model").mkdir(parents=True)
    (folder / "config.yaml").write_text(CONFIG)
    for name in ("small", "large"):
        (folder / f"model/{name}.yaml").write_text(f"kind: {name}\n")
    with initialize_config_dir(str(folder)):
        yield


def composed(*overrides: str, number: int = 0, mode: RunMode = RunMode.MULTIRUN) -> Any:
    """The config of one run, of a multirun where nothing else is said."""
    config = compose("config", list(overrides), return_hydra_config=True)
    OmegaConf.set_readonly(config.hydra, False)
    config.hydra.job.num, config.hydra.mode = number, mode
    return config


def test_a_change_is_an_override_too() -> None:
    config = composed()
    OmegaConf.set_readonly(config.hydra, True)
    hydra_callback.change(config, {"hydra.sweep.dir": "elsewhere", "hydra.job.chdir": True})
    assert (config.hydra.sweep.dir, config.hydra.job.chdir) == ("elsewhere", True)
    changed = list(config.hydra.overrides.hydra)[-2:]
    assert changed == ["hydra.sweep.dir=elsewhere", "hydra.job.chdir=True"]
    assert OmegaConf.is_readonly(config.hydra)


def test_several_trials_run_at_once_by_joblib() -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    config = composed()
    hydra_callback.run_several(config, 2)
    assert config.hydra.runtime.choices["hydra/launcher"] == "joblib"
    assert config.hydra.launcher.n_jobs == 2 and "Joblib" in config.hydra.launcher._target_
    changed = list(config.hydra.overrides.hydra)[-2:]
    assert changed == ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]


@pytest.mark.parametrize("typed", ["hydra/launcher=joblib", "hydra/launcher=basic"])
def test_a_launcher_that_the_user_chose_stays(typed: str) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    config = composed(typed)
    before = OmegaConf.to_yaml(config.hydra, resolve=False)
    hydra_callback.run_several(config, 2)
    assert OmegaConf.to_yaml(config.hydra, resolve=False) == before


class InJob:
    """The callback in a job whose run user code goes on with."""

    def __init__(self, store: Path) -> None:
        self.store, self.callback = store, JobCallback()

    def begin(self, config: Any, study: str = "") -> str:
        """A run of the application begins; the id of its MLflow run."""
        self.callback.study = study
        self.callback.on_job_start(config)
        return self.callback.run

    def end(self, config: Any, result: Any = None, status: str = "COMPLETED") -> None:
        """The application returned that, or raised."""
        returned = SimpleNamespace(return_value=result, status=SimpleNamespace(name=status))
        self.callback.on_job_end(config, returned)

    def sql(self, query: str, *values: str) -> list[Any]:
        with closing(sqlite3.connect(self.store)) as database:
            return database.execute(query, values).fetchall()

    def params(self, run: str) -> dict[str, str]:
        return dict(self.sql("SELECT key, value FROM params WHERE run_uuid = ?", run))

    def tags(self, run: str) -> dict[str, str]:
        return dict(self.sql("SELECT key, value FROM tags WHERE run_uuid = ?", run))

    def status(self, run: str) -> Any:
        return self.sql("SELECT status FROM runs WHERE run_uuid = ?", run)[0][0]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return empty_store(tmp_path_factory.mktemp("store")).read_bytes()


@pytest.fixture
def environment(tmp_path: Path, empty: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A job's variables, a store with its run, and its folder; the store."""
    store = tmp_path / "mlflow.db"
    store.write_bytes(empty)
    tags = {"mlflow.runName": "train", "mlflow.user": "ada"}
    run_rows.begin(store, experiment="digits", run_id=OWN, tags=tags, start_ms=1)
    paths = JobPaths(tmp_path, "1-train-a")
    paths.folder.mkdir(parents=True)
    spec = Job(id=paths.id, kind="script", source="train.py", name="train", user="ada")
    spec.to_file(paths.job)
    for name, value in {
        "REMOTE_JOB_FOLDER": str(paths.folder),
        "REMOTE_JOB_TAGS": json.dumps({"remote.job": paths.id}),
        "REMOTE_JOB_STORE": str(store),
        "REMOTE_JOB_RUN": OWN,
        "REMOTE_JOB_OFFER": f"{os.getpid()} {OWN}",
    }.items():
        monkeypatch.setenv(name, value)
    return store


def offered() -> str:
    """The run that this process may go on with."""
    process, _, run = os.environ.get("REMOTE_JOB_OFFER", "").partition(" ")
    assert process in ("", str(os.getpid()))
    return run


@pytest.fixture
def job(environment: Path) -> InJob:
    return InJob(environment)


def test_a_single_run_is_the_jobs_own(job: InJob) -> None:
    config = composed("rate=1e-3", mode=RunMode.RUN)
    assert job.begin(config) == ""
    job.end(config, 0.5)
    assert job.sql("SELECT run_uuid, status FROM runs") == [(OWN, "RUNNING")]
    assert job.params(OWN) == {"rate": "0.001"} and offered() == OWN


def test_a_trials_run_is_below_the_jobs_and_user_code_goes_on_with_it(job: InJob) -> None:
    job.callback.first = 10
    run = job.begin(composed("rate=0.5", "layers=[9]", number=2))
    tags = job.tags(run)
    assert tags["mlflow.parentRunId"] == OWN and tags["remote.job"] == "1-train-a"
    assert (tags["mlflow.runName"], tags["mlflow.source.name"]) == ("train-12", "train.py")
    assert tags["remote.overrides"] == '["rate=0.5", "layers=[9]"]'
    assert "remote.study" not in tags and "remote.trial" not in tags
    query = "SELECT status, r.name, e.name FROM runs r JOIN experiments e USING (experiment_id)"
    assert job.sql(f"{query} WHERE run_uuid = ?", run) == [("RUNNING", "train-12", "digits")]
    assert (offered(), os.environ["REMOTE_JOB_RUN"]) == (run, run)


def test_parameters_have_the_values_of_the_composed_config(job: InJob) -> None:
    config = composed("rate=1e-3", "+new.deep=a b", "layers=[3,4]", "model=large", "note='x: y'")
    run = job.begin(config)
    singles = {"rate": "0.001", "new.deep": "a b", "note": "x: y"}
    # What user code may write differently comes at the end.
    assert job.params(run) == singles
    job.end(config)
    assert job.params(run) == {**singles, "layers": "[3, 4]", "model": "large"}


def test_what_an_override_takes_away_and_hydras_own_are_no_parameters(job: InJob) -> None:
    config = composed("~note", "++tiny=2", "hydra.job.name=mine")
    run = job.begin(config)
    job.end(config)
    assert job.params(run) == {"tiny": "2"}
    assert job.tags(run)["remote.overrides"] == '["~note", "++tiny=2"]'


def test_a_name_that_mlflow_refuses_is_written_without_its_strange_letters(job: InJob) -> None:
    config = composed("+model@other=large")
    run = job.begin(config)
    job.end(config)
    assert job.params(run) == {"model_other": "large"}


@pytest.mark.parametrize(
    ("result", "metrics"),
    [
        (0.25, {"objective": 0.25}),
        ((1, "2.5", "no number", None), {"objective_0": 1.0, "objective_1": 2.5}),
        (None, {}),
        ({"loss": 1}, {}),
    ],
)
def test_what_a_trial_returned_is_its_objective(
    job: InJob, result: Any, metrics: dict[str, float]
) -> None:
    config = composed()
    run = job.begin(config)
    job.end(config, result)
    query = "SELECT key, value FROM latest_metrics WHERE run_uuid = ?"
    assert dict(job.sql(query, run)) == metrics
    query = "SELECT status, end_time >= start_time FROM runs WHERE run_uuid = ?"
    assert job.sql(query, run) == [("FINISHED", 1)]


def test_between_trials_user_code_goes_on_with_no_run(job: InJob) -> None:
    job.callback.on_multirun_start(composed())
    assert offered() == "" and os.environ["REMOTE_JOB_RUN"] == OWN
    config = composed()
    run = job.begin(config)
    assert offered() == run
    job.end(config)
    assert offered() == "" and os.environ["REMOTE_JOB_RUN"] == OWN


def test_a_trial_that_raised_has_failed_and_has_no_objective(job: InJob) -> None:
    config = composed()
    run = job.begin(config)
    job.end(config, 0.5, "FAILED")
    assert job.status(run) == "FAILED" and job.sql("SELECT * FROM latest_metrics") == []


def test_what_user_code_logged_is_not_overwritten(job: InJob) -> None:
    config = composed("layers=[9]")
    run = job.begin(config)
    run_rows.update(job.store, run, params={"layers": "nine"})
    run_rows.add_metric(job.store, run, "objective", 7.0, 1)
    job.end(config, 0.5)
    assert job.params(run) == {"layers": "nine"}
    assert job.sql("SELECT key, value FROM latest_metrics") == [("objective", 7.0)]


def test_an_interrupted_trial_of_a_study_goes_on_in_its_run(job: InJob) -> None:
    config = composed("rate=0.5")
    run = job.begin(config, study="s")
    run_rows.close(job.store, run, status="KILLED", end_ms=5)
    run_rows.update(job.store, run, {run_rows.TRIAL: run_rows.INTERRUPTED})
    assert job.begin(composed("rate=0.7"), study="s") != run
    assert job.begin(config, study="another") != run
    assert job.begin(config, study="s") == run and job.status(run) == "RUNNING"
    job.end(config, 1)
    assert job.tags(run)["remote.trial"] == "ended" and job.status(run) == "FINISHED"
    assert job.begin(config, study="s") != run


def test_the_jobs_run_joins_its_trials_in_the_experiment_that_they_chose(job: InJob) -> None:
    def experiments() -> list[Any]:
        return job.sql("SELECT DISTINCT experiment_id FROM runs")

    first, second = job.begin(composed()), job.begin(composed())
    run_rows.begin(
        job.store,
        experiment="chosen",
        run_id="other",
        tags={"mlflow.runName": "other", "mlflow.user": "ada"},
        start_ms=1,
    )
    move = "UPDATE runs SET experiment_id = 2 WHERE run_uuid = ?"
    for run in (first, second):
        with closing(sqlite3.connect(job.store)) as database, database:
            database.execute(move, (run,))
        job.callback.run = run
        job.end(composed())
    assert experiments() == [(2,)]


def test_outside_of_a_job_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REMOTE_JOB_FOLDER", raising=False)
    callback, config = JobCallback(), composed()
    before = dict(os.environ)
    callback.on_multirun_start(config)
    callback.on_job_start(config)
    callback.on_job_end(config, None)
    assert callback.run == "" and dict(os.environ) == before
