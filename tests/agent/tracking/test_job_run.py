"""What a job's MLflow run says of the job."""

from __future__ import annotations

from remote.agent.tracking import job_run
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
)


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


def test_the_run_of_a_later_attempt_is_the_jobs() -> None:
    assert job_run.run_of(JOB, JobStatus("running")) == "f" * 32
    assert job_run.run_of(JOB, JobStatus("running", mlflow_run="e" * 32)) == "e" * 32
