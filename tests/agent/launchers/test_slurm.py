"""What Slurm says, read without one; with one: tests/slurm."""

from __future__ import annotations

from pathlib import Path

import pytest

from remote.agent import launchers
from remote.agent.jobs.submit import launcher_of
from remote.agent.launchers import slurm, squeue
from remote.job.messages.jobs import SubmitRequest
from remote.job.spec import JobSpec
from tests.agent.job_folder import KEY

CANCELLED = "slurmstepd-gpu1: error: *** JOB 7 ON gpu1 CANCELLED AT 2026-11-29T11:03:05"


@pytest.mark.parametrize(
    ("said", "word"),
    [
        (f"{CANCELLED} ***", "cancelled"),
        (f"{CANCELLED} DUE TO TIME LIMIT ***", "timeout"),
        (f"{CANCELLED} DUE TO PREEMPTION ***", "preempted"),
        (f"{CANCELLED} DUE TO NODE FAILURE, SEE SLURMCTLD LOG FOR DETAILS ***", "node"),
        (f"{CANCELLED} DUE TO JOB REQUEUE ***", "requeued"),
        ("slurmstepd: error: Detected 1 oom_kill event in StepId=7.batch.", "oom"),
        ("OUT_OF_MEMORY", "oom"),
        ("TIMEOUT", "timeout"),
        ("CANCELLED DependencyNeverSatisfied", "dependency"),
    ],
)
def test_why_slurm_ended_a_job_is_told_by_its_words(said: str, word: str) -> None:
    found = slurm.cause(f"something before\n{said}\n")
    assert found is not None and found[1] == word


def test_only_what_was_written_since_the_worker_last_began_counts(tmp_path: Path) -> None:
    file = tmp_path / "scheduler.out"
    assert slurm.written(file) == "" and slurm.cause("COMPLETED") is None
    file.write_text(f"{CANCELLED} DUE TO PREEMPTION ***\n{slurm.BEGINS}gpu2\nTraceback\n")
    assert slurm.written(file) == "gpu2\nTraceback\n"
    assert slurm.cause(slurm.written(file)) is None


def test_lines_that_are_no_jobs_are_passed_over() -> None:
    said = (
        "welcome\n7|PENDING|gpu|N/A|n/a|Priority\n8_1|RUNNING|a,b|2026-11-29T11:05:33|gpu1|None\n"
    )
    jobs = squeue.parsed(said)
    assert set(jobs) == {"7", "8_1"} and jobs["7"].reason == "Priority"
    assert jobs["8_1"].partition == "a,b"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A server whose only program is one called sbatch, which must not be run."""
    folder = tmp_path / "opt/bin"
    folder.mkdir(parents=True)
    (folder / "sbatch").write_text("#!/bin/sh\nexit 9\n")
    (folder / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("SLURM_CONF", raising=False)
    monkeypatch.setattr(slurm, "CONFIGURATIONS", (str(tmp_path / "etc/slurm"),))
    return folder


def test_a_server_with_sbatch_and_a_cluster_uses_slurm(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert launchers.usual() == "tmux"
    for place in ("etc/slurm", "opt/etc"):
        file = tmp_path / place / "slurm.conf"
        file.parent.mkdir(parents=True)
        file.touch()
        assert launchers.usual() == "slurm"
        file.unlink()
    monkeypatch.setenv("SLURM_CONF", "/anywhere/slurm.conf")
    assert launchers.usual() == "slurm"
    (programs / "sbatch").unlink()
    assert launchers.usual() == "tmux"


def test_only_what_shows_the_targets_store_runs_on_the_login_node() -> None:
    page = JobSpec(kind="service", source="", name="ui", service="ui", gpus=0)
    request = SubmitRequest(key=KEY, job=page, launcher="slurm")
    assert launcher_of(request) == "tmux"
    for service in ("lab", "shell", "tensorboard", None):
        job = page.replace(service=service or "", gpus=1)
        assert launcher_of(request.replace(job=job)) == "slurm"
