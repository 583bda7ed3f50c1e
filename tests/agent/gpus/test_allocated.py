"""GPUs that a scheduler has given."""

from __future__ import annotations

from pathlib import Path

import pytest

from remote.agent.gpus.allocated import AllocatedGpus
from remote.job.spec import Job
from tests.fakegpu import FakeGpus


def allocated(gpus: int | None = None) -> AllocatedGpus:
    return AllocatedGpus(Job(kind="command", source="", name="x", id="job-1", gpus=gpus))


@pytest.fixture
def cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeGpus:
    made = FakeGpus(tmp_path / "gpus", count=4)
    monkeypatch.setenv("PATH", made.path())
    return made


def test_the_job_has_what_the_variable_names_and_locks_nothing(
    cards: FakeGpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,3")
    gpus = allocated(2)
    gpus.join()
    with gpus.leased(print) as lease:
        assert lease is not None and [gpu.index for gpu in lease.gpus] == [1, 3]
        assert all(gpu.name for gpu in lease.gpus) and gpus.record(lease)["driver"]
        # It is the scheduler's variable that the code sees.
        assert gpus.variables(lease) == {}
        with allocated(2).leased(print) as other:
            assert other is not None
    gpus.leave()


def test_where_the_node_tells_nothing_their_numbers_are_known(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,MIG-7")
    with allocated().leased(print) as lease:
        assert lease is not None and [gpu.index for gpu in lease.gpus] == [2, 1]


def test_a_job_that_wants_none_sees_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
    with allocated(0).leased(print) as lease:
        assert lease is None and allocated(0).variables(lease)["CUDA_VISIBLE_DEVICES"] == ""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    with allocated().leased(print) as lease:
        assert lease is None and allocated().variables(lease) == {}
