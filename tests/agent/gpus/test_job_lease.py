"""The GPUs of one job, from what it asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from remote.agent.gpus.job_lease import JobLease
from remote.job.spec import Job
from tests.agent.gpus.jobs import files
from tests.fakegpu import FakeGpus, uuid


def job(folder: Path, **asked: int) -> Job:
    return Job(kind="command", source="", name="job", leases=str(folder), **asked)  # type: ignore


def test_a_job_without_gpus_never_queues(fake: FakeGpus, folder: Path) -> None:
    with JobLease(job(folder, gpus=0)).leased(pytest.fail) as lease:
        assert lease is None and not list(folder.iterdir())


def test_a_machine_without_gpus_gives_none(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with JobLease(job(folder)).leased(pytest.fail) as lease:
        assert lease is None and not list(folder.iterdir())


def test_a_job_that_asks_for_nothing_has_one(fake: FakeGpus, folder: Path) -> None:
    wish = JobLease(job(folder))
    wish.join()
    assert len(files(folder, ".ticket")) == 1
    with wish.leased(pytest.fail) as lease:
        assert lease and lease.visible == uuid(0)
        assert wish.variables(lease) == {"CUDA_VISIBLE_DEVICES": uuid(0)}
