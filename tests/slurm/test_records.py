"""What jobs under a real Slurm record, and what a pull finds of that."""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from remote.agent.job_folders import job_of
from remote.agent.jobs import summaries
from remote.agent.replication import delta_request
from remote.job.messages.base import AnswerWithFile
from remote.job.messages.jobs import JobsRequest
from remote.job.messages.records import DeltaRequest
from remote.job.spec import JobSpec
from remote.job.status import FINISHED
from tests.agent.job_folder import KEY
from tests.conftest import ROOT
from tests.slurm.conftest import Target
from tests.waiting import until

SCRIPT = """\
import sys, time, pathlib, mlflow
mlflow.set_experiment(sys.argv[1])
with mlflow.start_run():
    mlflow.log_metric("loss", 0.5, step=1)
    mlflow.log_text("kept", "note.txt")
    gate = pathlib.Path(sys.argv[2])
    while not gate.exists():
        time.sleep(0.1)
    mlflow.log_metric("loss", 0.25, step=2)
"""


def delta(target: Target) -> Any:
    """What a pull that knows nothing is sent, and the answer beside it."""
    said = delta_request.delta(DeltaRequest(key=KEY, known={}))
    assert isinstance(said, AnswerWithFile) and said.answer.fault == "", said
    return said


def rows(store: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(store)) as database:
        return database.execute(query).fetchall()


def test_jobs_of_two_nodes_record_apart_and_a_pull_finds_all_in_one_delta(
    target: Target, tmp_path: Path
) -> None:
    target.write("src/log.py", SCRIPT)
    gate = tmp_path / "gate"

    def start(number: int, experiment: str) -> Any:
        job = JobSpec(
            kind="script",
            source="src/log.py",
            name=f"log-{number}",
            arguments=(experiment, str(gate)),
            experiment="proj",
            environment="python",
            environment_source=sys.executable,
            gpus=0,
            sbatch=(f"--nodelist=gpu{number}",),
        )
        return target.submit(job)

    one, two = start(1, "first"), start(2, "second")
    for paths in (one, two):
        until(
            lambda paths=paths: summaries.describe(JobsRequest(key=KEY, jobs=(paths.id,)))
            .jobs[0]
            .metrics
        )
    # While they run: nobody but each job itself writes to its store.
    said = delta(target)
    assert dict(said.answer.others) == {} and one.id not in said.answer.ended
    names = "SELECT experiments.name FROM experiments JOIN runs USING (experiment_id) ORDER BY 1"
    assert rows(said.file, names) == [("first",), ("second",)]
    assert rows(said.file, "SELECT DISTINCT status FROM runs") == [("RUNNING",)]
    gate.touch()
    assert target.became(one).state == target.became(two).state == FINISHED, one.log.read_text()
    said = delta(target)
    assert {one.id, two.id} <= {*said.answer.ended} and dict(said.answer.others) == {}
    assert rows(said.file, "SELECT DISTINCT status FROM runs") == [("FINISHED",)]
    assert rows(said.file, "SELECT count(*) FROM metrics WHERE key = 'loss'") == [(4,)]
    for (uri,) in rows(target.root / "mlflow.db", "SELECT artifact_uri FROM runs"):
        assert (Path(uri) / "note.txt").read_text() == "kept"
        assert json.loads((Path(uri) / "remote/status.json").read_text())["state"] == "finished"
    # Nothing new is merged once more.
    before = (target.root / "mlflow.db").stat().st_mtime_ns
    delta(target)
    assert (target.root / "mlflow.db").stat().st_mtime_ns == before


APP = """\
import hydra, mlflow
@hydra.main(version_base=None, config_path=None, config_name=None)
def main(cfg):
    with mlflow.start_run():
        mlflow.log_metric("double", 2 * cfg.lr)
    return cfg.lr
main()
"""


def here(**asked: Any) -> JobSpec:
    """A job with the Python of the tests."""
    facts = {"experiment": "proj", "environment": "python", "gpus": 0}
    # Beside this Python's packages there may be another copy of the toolkit.
    env = {"PYTHONPATH": str(ROOT)}
    return JobSpec(**{**facts, "environment_source": sys.executable, "env": env, **asked})


def test_a_multirun_that_hydra_spreads_has_its_runs_below_the_jobs(target: Target) -> None:
    target.write("src/app.py", APP)
    words = ("-m", "+lr=0.5,2", "hydra/launcher=submitit_slurm", "hydra.launcher.timeout_min=5")
    paths = target.submit(
        here(kind="script", source="src/app.py", name="app", hydra=True, arguments=words)
    )
    assert target.became(paths).state == FINISHED, paths.log.read_text()
    stores = sorted(paths.folder.glob("mlflow-*.db"))
    assert len(stores) == 2
    said = delta(target)
    assert dict(said.answer.others) == {} and said.answer.outside == ()
    job = job_of(paths)
    below = (
        "SELECT params.value, metrics.value, runs.status FROM tags"
        " JOIN params USING (run_uuid) JOIN metrics USING (run_uuid) JOIN runs USING (run_uuid)"
        f" WHERE tags.key = 'mlflow.parentRunId' AND tags.value = '{job and job.mlflow_run}'"
        " AND metrics.key = 'double' ORDER BY 1"
    )
    found = rows(said.file, below)
    assert found == [("0.5", 1.0, "FINISHED"), ("2", 4.0, "FINISHED")]


def test_a_notebook_runs_on_a_node_and_is_kept(target: Target) -> None:
    cells = [
        {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": "epoch = 1"},
        {"cell_type": "code", "metadata": {}, "source": "print('epoch', epoch)"},
    ]
    for cell in cells:
        cell.update(execution_count=None, outputs=[])
    notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 4}
    target.write("src/notebooks/a.ipynb", json.dumps(notebook))
    paths = target.submit(
        here(
            kind="notebook",
            source="src/notebooks/a.ipynb",
            name="a",
            output="a",
            parameters={"epoch": 3},
        )
    )
    status = target.became(paths)
    assert status.state == FINISHED, paths.log.read_text()
    assert "epoch 3" in (target.root / status.result).read_text()
