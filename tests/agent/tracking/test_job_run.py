"""What a job's MLflow run says of the job."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from remote.agent.tracking import job_run
from remote.errors import StoreError
from remote.job.paths import JobPaths
from remote.job.spec import Git, Job
from remote.job.status import JobStatus, LeasedGpu

JOB = Job(
    kind="script",
    source="train.py",
    name="train",
    tags={"owner": "ada"},
    git=Git(commit="ab12", branch="main", dirty=True),
    target="gpu:/proj",
    id="20260101-090000-train-aaaa",
    host="gpu",
    mlflow_run="f" * 32,
    user="ada",
    experiment="digits",
)


@pytest.fixture
def store(template: Path, tmp_path: Path) -> Path:
    """A target with an empty store."""
    return Path(shutil.copytree(template, tmp_path / "target"))


def test_the_tags_of_a_job_have_names_that_other_programs_may_rely_on() -> None:
    assert job_run.tags(JOB, [LeasedGpu(0, "GPU-1", "H100"), LeasedGpu(1, "GPU-2", "H100")]) == {
        "owner": "ada",
        "remote.job": JOB.id,
        "remote.target": "gpu:/proj",
        "remote.host": "gpu",
        "remote.source": "train.py",
        "remote.gpus": "H100, H100",
        "mlflow.source.git.commit": "ab12",
        "mlflow.source.git.branch": "main",
        "remote.git.dirty": "true",
    }


def test_without_git_nothing_is_said_of_it() -> None:
    assert not [name for name in job_run.tags(JOB.replace(git=Git()), ()) if "git" in name]


def test_the_account_of_an_end_leaves_out_what_is_not_known() -> None:
    status = JobStatus("failed", exit_code=0, cause="stopped", seconds=1.6, peak_memory=3 << 20)
    assert job_run.account(status) == {
        "remote.exit_code": "0",
        "remote.cause": "stopped",
        "remote.seconds": "2",
        "remote.peak_memory": "3",
    }


def begun(root: Path, job: Job) -> tuple[JobPaths, sqlite3.Connection]:
    paths = JobPaths(root, job.id)
    job_run.begin_run(paths, job, job.mlflow_run)
    return paths, sqlite3.connect(job_run.store_of(root))


def tags_of(database: sqlite3.Connection) -> dict[str, str]:
    return dict(database.execute("SELECT key, value FROM tags"))


def params_of(database: sqlite3.Connection) -> dict[str, str]:
    return dict(database.execute("SELECT key, value FROM params"))


def test_arguments_become_parameters_at_the_end_beside_what_the_code_logged(store: Path) -> None:
    job = JOB.replace(arguments=("--lr", "1e-3", "--n-layer=2", "--note", "x" * 7000, "data.csv"))
    paths, database = begun(store, job)
    with closing(database):
        assert params_of(database) == {}
        assert tags_of(database)["remote.command"].startswith("train.py --lr 1e-3 --n-layer=2")
        assert tags_of(database)["mlflow.source.name"] == "train.py"
        with database:
            database.execute(
                "INSERT INTO params (key, value, run_uuid) VALUES ('lr', '0.001', ?)",
                (job.mlflow_run,),
            )
        job_run.end_runs(paths, job, JobStatus("finished"))
        params = params_of(database)
        assert len(params.pop("note")) == 6000
        assert params == {"lr": "0.001", "n_layer": "2", "arg_1": "data.csv"}


def test_hydra_tells_its_own_parameters(store: Path) -> None:
    job = JOB.replace(arguments=("lr=0.1,0.2",), hydra=True)
    paths, database = begun(store, job)
    job_run.end_runs(paths, job, JobStatus("finished"))
    with closing(database):
        assert params_of(database) == {}
        assert tags_of(database)["remote.command"] == "train.py lr=0.1,0.2"


def test_a_commands_source_is_what_was_typed(store: Path) -> None:
    line = "for lr in 0.1 0.2; do python src/tr.py $lr; done"
    job = JOB.replace(kind="command", source="", arguments=("sh", "-c", line))
    with closing(begun(store, job)[1]) as database:
        tags = tags_of(database)
    assert (tags["mlflow.source.name"], tags["mlflow.source.type"]) == (line, "JOB")
    assert tags["remote.command"] == line


@pytest.mark.parametrize(
    ("interpreter", "restore"),
    [
        ("", "inv remote-run --gpus 0 --no-record -- mlflow"),
        ("/usr/bin/python", "Restore it: mlflow"),
    ],
)
def test_a_deleted_experiment_is_restored_by_a_command_that_works(
    store: Path, interpreter: str, restore: str
) -> None:
    job = JOB.replace(experiment="digits", interpreter=interpreter)
    with closing(begun(store, job)[1]) as database, database:
        database.execute("UPDATE experiments SET lifecycle_stage = 'deleted' WHERE name = 'digits'")
    with pytest.raises(StoreError, match="'digits'.*is deleted") as error:
        job_run.begin_run(JobPaths(store, JOB.id), job, "a" * 32)
    assert f"{restore} experiments restore -x 1\n" in error.value.hint


def test_the_run_of_a_later_attempt_is_the_jobs() -> None:
    assert job_run.run_of(JOB, JobStatus("running")) == "f" * 32
    assert job_run.run_of(JOB, JobStatus("running", mlflow_run="e" * 32)) == "e" * 32
