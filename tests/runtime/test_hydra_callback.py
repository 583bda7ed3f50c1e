"""Hydra applications in a job: whose run is whose. Hydra, MLflow and the agent's zip are real."""

from __future__ import annotations

import json

import pytest

from remote.agent.tracking import run_rows
from tests.runtime.place import Place

PLAIN = """
import os, sys
import hydra

@hydra.main()
def main(config):
    print("SEES", os.environ.get("REMOTE_JOB_OFFER", "- None").split()[1], os.environ.get("REMOTE_JOB_RUN"))
    if config.get("fail"):
        raise ValueError("as asked")
    return config.get("x", 1) * 2

main()
print("AFTER", os.environ.get("REMOTE_JOB_OFFER", "- None").split()[1], os.environ.get("REMOTE_JOB_RUN"))
assert "mlflow" not in sys.modules
"""

CONFIG = """
defaults:
  - model: small
  - _self_
rate: 0.10
tiny: 1e-05
twice: ${rate}
layers: [1, 2]
hydra:
  callbacks:
    own:
      _target_: own.Own
"""

OWN = """
from hydra.experimental.callback import Callback

class Own(Callback):
    def on_job_start(self, config, **rest):
        print("OWN CALLBACK")
"""

LOGS = """
import os
import hydra, mlflow
from omegaconf import OmegaConf

@hydra.main(config_path="conf", config_name="config")
def main(config):
    with mlflow.start_run() as run:
        print("IN", run.info.run_id)
        mlflow.log_params(OmegaConf.to_container(config, resolve=True))
        with mlflow.start_run(nested=True) as inner:
            print("NESTED", inner.info.run_id)
    with mlflow.start_run() as second:
        print("SECOND", second.info.run_id)
    mlflow.log_metric("open", 1)
    print("CWD", os.getcwd())
    return 0.5

main()
"""


@pytest.fixture
def plain(place: Place) -> Place:
    place.write("src/plain.py", PLAIN)
    return place


@pytest.fixture
def logs(place: Place) -> Place:
    place.write("src/logs.py", LOGS)
    place.write("src/own.py", OWN)
    place.write("src/conf/config.yaml", CONFIG)
    place.write("src/conf/model/small.yaml", "size: 1\n")
    place.write("src/conf/model/large.yaml", "size: 9\n")
    return place


def said_after(word: str, said: str) -> list[str]:
    return [line.split(" ", 1)[1] for line in said.splitlines() if line.startswith(word + " ")]


def test_a_single_run_is_the_jobs_own(plain: Place) -> None:
    said = plain.run(plain.job("src/plain.py", "+x=3", "+name='a b'"))
    assert said_after("SEES", said) == ["f1 f1"]
    assert plain.values("params", "f1") == {"x": "3", "name": "a b"}
    assert plain.children() == [] and plain.statuses() == {"f1": "RUNNING"}
    assert "Warning" not in said


def test_each_run_of_a_multirun_is_a_child(plain: Place) -> None:
    paths = plain.job("src/plain.py", "-m", "+x=1,2,three")
    said = plain.run(paths)
    runs = plain.children("f1")
    assert said_after("SEES", said) == [f"{run} {run}" for run in runs]
    assert [plain.statuses()[run] for run in runs] == ["FINISHED"] * 3
    assert [plain.values("params", run) for run in runs] == [{"x": x} for x in ("1", "2", "three")]
    assert [plain.values("latest_metrics", run) for run in runs[:2]] == [
        {"objective": 2.0},
        {"objective": 4.0},
    ]
    tags = plain.values("tags", runs[1])
    assert tags["remote.job"] == paths.id and tags["remote.overrides"] == '["+x=2"]'
    assert tags["mlflow.runName"] == "train-1" and tags["mlflow.parentRunId"] == "f1"
    assert plain.values("params", "f1") == {}
    assert plain.sql("SELECT DISTINCT experiment_id FROM runs") == [(1,)]
    assert list((plain.root / "multirun").glob("*/*/2/.hydra/config.yaml"))
    assert said_after("AFTER", said) == ["None f1"]


def test_a_run_that_raises_has_failed(plain: Place) -> None:
    said = plain.run(plain.job("src/plain.py", "+fail=false,true", "-m"), code=1)
    first, second = plain.children("f1")
    assert plain.statuses() == {"f1": "RUNNING", first: "FINISHED", second: "FAILED"}
    assert plain.values("latest_metrics", second) == {} and "as asked" in said


def test_user_code_goes_on_with_its_trials_run(logs: Place) -> None:
    words = ["model=small,large", "rate=0.10,1e-3", "layers=[3,4]", "hydra.job.chdir=true"]
    said = logs.run(logs.job("src/logs.py", *words, "-m"))
    runs = logs.children("f1")
    assert said_after("IN", said) == runs and len(runs) == 4
    assert set(logs.statuses().values()) - {"FINISHED"} == {"RUNNING"}
    assert [run for run, status in logs.statuses().items() if status == "RUNNING"] == ["f1"]
    params = [logs.values("params", run) for run in runs]
    assert [each["rate"] for each in params] == ["0.1", "0.001"] * 2
    assert [each["model"] for each in params] == ["{'size': 1}"] * 2 + ["{'size': 9}"] * 2
    for word in ("NESTED", "SECOND"):
        parents = [logs.values("tags", run)["mlflow.parentRunId"] for run in said_after(word, said)]
        assert parents == runs, word
    assert said.count("OWN CALLBACK") == 4
    assert all("/multirun/" in folder for folder in said_after("CWD", said))
    # What a trial left open is ended with it, and does not become the next one's.
    assert sum(logs.values("latest_metrics", run).get("open", 0) for run in logs.statuses()) == 4


def test_several_gpus_one_for_each_process(plain: Place) -> None:
    plain.gpus = "GPU-a,GPU-b"
    plain.write(
        "src/gpus.py",
        PLAIN.replace("return", "import time; time.sleep(1.5)\n    return").replace(
            'os.environ.get("REMOTE_JOB_RUN"))',
            'os.environ.get("CUDA_VISIBLE_DEVICES"), os.getpid())',
            1,
        ),
    )
    said = plain.run(plain.job("src/gpus.py", "-m", "+x=1,2,3,4"))
    seen = [line.split() for line in said_after("SEES", said)]
    assert sorted(run for run, _, _ in seen) == sorted(plain.children("f1"))
    assert {gpu for _, gpu, _ in seen} == {"GPU-a", "GPU-b"}
    assert len({(gpu, pid) for _, gpu, pid in seen}) == 2
    assert "joblib" in said.lower()
    runs = plain.sql("SELECT start_time, end_time FROM runs WHERE run_uuid != 'f1' ORDER BY 1")
    assert runs[1][0] < runs[0][1], "the first two ran one after the other"


def test_a_launcher_of_the_users_own_stays(plain: Place) -> None:
    plain.gpus = "GPU-a,GPU-b"
    said = plain.run(plain.job("src/plain.py", "-m", "+x=1,2", "hydra/launcher=basic"))
    assert "joblib" not in said.lower() and len(plain.children("f1")) == 2


def test_an_application_with_a_whitelist_still_runs(place: Place) -> None:
    guarded = PLAIN.replace("@hydra.main()", '@hydra.main(execution_whitelist=("own.*",))')
    place.write("src/guarded.py", guarded)
    said = place.run(place.job("src/guarded.py", "-m", "+x=1,2"))
    assert "execution_whitelist lacks" in said and len(said_after("SEES", said)) == 2


def test_all_that_a_job_left_running_can_be_ended(place: Place) -> None:
    """What the worker calls once a job is gone."""
    first, second = place.job("a.py"), place.job("b.py")
    for parent, child, status in [
        ("f1", "step", "RUNNING"),
        ("step", "inner", "RUNNING"),
        ("f2", "other", "RUNNING"),
        ("f1", "done", "FINISHED"),
    ]:
        place.sql(
            "INSERT INTO runs (run_uuid, status, end_time, start_time, lifecycle_stage,"
            " experiment_id, source_type) VALUES (?, ?, 7, 1, 'active', 1, 'LOCAL')",
            *(child, status),
        )
        place.sql("INSERT INTO tags VALUES ('mlflow.parentRunId', ?, ?)", parent, child)
    run_rows.close_all(place.store, job=first.id, run_id="f1", status="FAILED", end_ms=99)
    assert place.statuses() == {
        "f1": "FAILED",
        "step": "FAILED",
        "inner": "FAILED",
        "done": "FINISHED",
        "f2": "RUNNING",
        "other": "RUNNING",
    }
    assert second.id and place.sql("SELECT end_time FROM runs WHERE run_uuid = 'done'") == [(7,)]


def test_mlflow_reads_what_was_written(plain: Place) -> None:
    from mlflow import MlflowClient

    plain.run(plain.job("src/plain.py", "-m", "+x=1,2"))
    client = MlflowClient(f"sqlite:///{plain.store}")
    found = client.search_runs(["1"], "tags.`mlflow.parentRunId` = 'f1'", order_by=["params.x"])
    assert [run.data.metrics for run in found] == [{"objective": 2.0}, {"objective": 4.0}]
    assert [run.data.params for run in found] == [{"x": "1"}, {"x": "2"}]
    assert all(run.info.end_time >= run.info.start_time for run in found)


def test_overrides_are_told_as_json() -> None:
    odd = ['a="b c"', "d='é'"]
    assert json.loads(run_rows.spelled(odd)) == odd
