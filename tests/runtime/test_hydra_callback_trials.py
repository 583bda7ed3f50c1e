"""The runs of a Hydra application: what Hydra composed, and the rows that MLflow reads."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from remote.agent.tracking import run_rows
from remote.job.spec import JobSpec
from remote.runtime import hydra_callback
from remote.runtime.job_context import Job, Recording
from tests.stores import empty_store

CONFIG = """
defaults:
  - model: small
  - _self_
rate: 0.10
tiny: 1e-05
twice: ${rate}
layers: [1, 2]
note: null
"""

#: The job's own run, and the status of an application that returned or raised.
OWN = "f1"
RETURNED, RAISED = "COMPLETED", "FAILED"


@pytest.fixture
def conf(tmp_path: Path) -> Iterator[None]:
    folder = tmp_path / "conf"
    (folder / "model").mkdir(parents=True)
    (folder / "config.yaml").write_text(CONFIG)
    for name in ("small", "large"):
        (folder / f"model/{name}.yaml").write_text(f"kind: {name}\n")
    with initialize_config_dir(str(folder)):
        yield


def composed(*overrides: str, number: int = 0) -> Any:
    config = compose("config", list(overrides), return_hydra_config=True)
    OmegaConf.set_readonly(config.hydra, False)
    config.hydra.job.num = number
    return config


def parameters(job: Job, config: Any) -> tuple[dict[str, str], dict[str, str]]:
    """The parameters that a run has from its beginning on, and those that come at its end."""
    assert job.recording is not None
    found = []
    for at_end in (False, True):
        hydra_callback._add_params(job.recording, OWN, config, at_end=at_end)
        found.append(dict(sql(job, "SELECT key, value FROM params WHERE run_uuid = ?", OWN)))
    first, all_of_them = found
    return first, {name: all_of_them[name] for name in all_of_them if name not in first}


@pytest.mark.usefixtures("conf")
def test_parameters_have_the_values_of_the_composed_config(job: Job) -> None:
    config = composed("rate=1e-3", "+new.deep=a b", "layers=[3,4]", "model=large", "note='x: y'")
    scalars, others = parameters(job, config)
    assert scalars == {"rate": "0.001", "new.deep": "a b", "note": "x: y"}
    assert others == {"layers": "[3, 4]", "model": "large"}


@pytest.mark.usefixtures("conf")
def test_what_an_override_takes_away_is_no_parameter(job: Job) -> None:
    config = composed("~note", "++tiny=2", "hydra.job.name=mine")
    assert hydra_callback._overrides(config) == ["~note", "++tiny=2"]
    assert parameters(job, config) == ({"tiny": "2"}, {})


@pytest.mark.usefixtures("conf")
def test_a_name_that_mlflow_refuses_is_written_without_its_strange_letters(job: Job) -> None:
    config = composed("+model@other=large")
    assert parameters(job, config) == ({}, {"model_other": "large"})


@pytest.mark.usefixtures("conf")
def test_a_change_is_an_override_too() -> None:
    config = composed()
    OmegaConf.set_readonly(config.hydra, True)
    hydra_callback.change(config, {"hydra.sweep.dir": "elsewhere", "hydra.job.chdir": True})
    assert (config.hydra.sweep.dir, config.hydra.job.chdir) == ("elsewhere", True)
    changed = list(config.hydra.overrides.hydra)[-2:]
    assert changed == ["hydra.sweep.dir=elsewhere", "hydra.job.chdir=True"]
    assert OmegaConf.is_readonly(config.hydra)


@pytest.mark.usefixtures("conf")
def test_several_trials_run_at_once_by_joblib() -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    config = composed()
    hydra_callback.run_several(config, 2)
    assert config.hydra.runtime.choices["hydra/launcher"] == "joblib"
    assert config.hydra.launcher.n_jobs == 2 and "Joblib" in config.hydra.launcher._target_
    changed = list(config.hydra.overrides.hydra)[-2:]
    assert changed == ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]


@pytest.mark.usefixtures("conf")
@pytest.mark.parametrize("typed", ["hydra/launcher=joblib", "hydra/launcher=basic"])
def test_a_launcher_that_the_user_chose_stays(typed: str) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    config = composed(typed)
    before = OmegaConf.to_yaml(config.hydra, resolve=False)
    hydra_callback.run_several(config, 2)
    assert OmegaConf.to_yaml(config.hydra, resolve=False) == before


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return empty_store(tmp_path_factory.mktemp("store")).read_bytes()


@pytest.fixture
def job(tmp_path: Path, template: bytes, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A job that has a run, which user code goes on with."""
    store = tmp_path / "mlflow.db"
    store.write_bytes(template)
    tags = {"mlflow.runName": "train", "mlflow.user": "ada"}
    run_rows.begin(store, experiment="digits", run_id=OWN, tags=tags, start_ms=1)
    for name in ("MLFLOW_RUN_ID", "REMOTE_PARENT_RUN"):
        # So that what the code under test sets is taken back.
        monkeypatch.setenv(name, "before")
    recording = Recording(store, OWN, {"remote.job": "j1"}, continues=True)
    spec = JobSpec(kind="script", source="train.py", name="train", user="ada")
    return Job(tmp_path, tmp_path, spec, recording)


def sql(job: Job, query: str, *values: str) -> list[Any]:
    assert job.recording is not None
    with closing(sqlite3.connect(job.recording.store)) as database:
        return database.execute(query, values).fetchall()


def begin(job: Job, config: Any, study: str = "", first: int = 0) -> str:
    assert job.recording is not None
    callback = hydra_callback.JobCallback()
    callback.study, callback.first = study, first
    return callback._begin(job, job.recording, config)


def end(job: Job, run: str, config: Any, result: Any, status: str, study: str = "") -> None:
    assert job.recording is not None
    returned = SimpleNamespace(return_value=result, status=SimpleNamespace(name=status))
    callback = hydra_callback.JobCallback()
    callback.study, callback.run = study, run
    callback._end(job.recording, config, returned)


@pytest.mark.usefixtures("conf")
def test_a_trials_run_is_below_the_jobs_and_user_code_goes_on_with_it(job: Job) -> None:
    run = begin(job, composed("rate=0.5", "layers=[9]", number=2), first=10)
    tags = dict(sql(job, "SELECT key, value FROM tags WHERE run_uuid = ?", run))
    assert tags["mlflow.parentRunId"] == OWN and tags["remote.job"] == "j1"
    assert (tags["mlflow.runName"], tags["mlflow.source.name"]) == ("train-12", "train.py")
    assert tags["remote.overrides"] == '["rate=0.5", "layers=[9]"]'
    assert "remote.study" not in tags and "remote.trial" not in tags
    query = "SELECT status, r.name, e.name FROM runs r JOIN experiments e USING (experiment_id)"
    assert sql(job, f"{query} WHERE run_uuid = ?", run) == [("RUNNING", "train-12", "digits")]
    assert (os.environ["MLFLOW_RUN_ID"], os.environ["REMOTE_PARENT_RUN"]) == (run, run)
    # What user code may write differently comes at the end.
    assert sql(job, "SELECT key, value FROM params WHERE run_uuid = ?", run) == [("rate", "0.5")]


@pytest.mark.usefixtures("conf")
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
    job: Job, result: Any, metrics: dict[str, float]
) -> None:
    config = composed("layers=[9]")
    run = begin(job, config)
    end(job, run, config, result, RETURNED)
    query = "SELECT key, value FROM latest_metrics WHERE run_uuid = ?"
    assert dict(sql(job, query, run)) == metrics
    ended = sql(job, "SELECT status, end_time >= start_time FROM runs WHERE run_uuid = ?", run)
    assert ended == [("FINISHED", 1)]
    assert sql(job, "SELECT key, value FROM params WHERE run_uuid = ?", run) == [("layers", "[9]")]
    # Between trials no user code may go on with a run.
    assert "MLFLOW_RUN_ID" not in os.environ and os.environ["REMOTE_PARENT_RUN"] == OWN


@pytest.mark.usefixtures("conf")
def test_a_trial_that_raised_has_failed_and_has_no_objective(job: Job) -> None:
    config = composed()
    run = begin(job, config)
    end(job, run, config, 0.5, RAISED)
    assert sql(job, "SELECT status FROM runs WHERE run_uuid = ?", run) == [("FAILED",)]
    assert sql(job, "SELECT * FROM latest_metrics") == []


@pytest.mark.usefixtures("conf")
def test_what_user_code_logged_is_not_overwritten(job: Job) -> None:
    config = composed("layers=[9]")
    run = begin(job, config)
    assert job.recording is not None
    run_rows.update(job.recording.store, run, params={"layers": "nine"})
    run_rows.add_metric(job.recording.store, run, "objective", 7.0, 1)
    end(job, run, config, 0.5, RETURNED)
    assert sql(job, "SELECT key, value FROM params") == [("layers", "nine")]
    assert sql(job, "SELECT key, value FROM latest_metrics") == [("objective", 7.0)]


@pytest.mark.usefixtures("conf")
def test_an_interrupted_trial_of_a_study_goes_on_in_its_run(job: Job) -> None:
    config = composed("rate=0.5")
    run = begin(job, config, study="s")
    assert job.recording is not None
    run_rows.close(job.recording.store, run, status="KILLED", end_ms=5)
    run_rows.update(job.recording.store, run, {run_rows.TRIAL: run_rows.INTERRUPTED})
    assert begin(job, composed("rate=0.7"), study="s") != run
    assert begin(job, config, study="another") != run
    assert begin(job, config, study="s") == run
    assert sql(job, "SELECT status FROM runs WHERE run_uuid = ?", run) == [("RUNNING",)]
    end(job, run, config, 1, RETURNED, study="s")
    query = "SELECT value FROM tags WHERE run_uuid = ? AND key = 'remote.trial'"
    assert sql(job, query, run) == [("ended",)]
    assert begin(job, config, study="s") != run


@pytest.mark.usefixtures("conf")
def test_user_code_that_can_not_go_on_with_a_run_gets_none_but_its_parent(job: Job) -> None:
    assert job.recording is not None
    os.environ.pop("MLFLOW_RUN_ID")
    recording = Recording(job.recording.store, OWN, {}, continues=False)
    run = hydra_callback.JobCallback()._begin(job, recording, composed())
    assert "MLFLOW_RUN_ID" not in os.environ and os.environ["REMOTE_PARENT_RUN"] == run
