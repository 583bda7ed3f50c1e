"""CPU slots: jobs without a GPU wait for them, in a line of their own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from remote.agent.gpus.queue import JobLease
from remote.agent.gpus.tickets import waiting
from remote.errors import JobError
from tests.agent.gpus.jobs import Start, files, get, hold, job, refusal
from tests.fakegpu import FakeGpus, uuid


def entry(folder: Path, *, at: float = 1.0, **asked: Any) -> JobLease:
    made = JobLease(job(folder, **{"gpus": 0, "cpu_slots": 4, "submitted": at, **asked}))
    made.join()
    return made


def test_no_more_jobs_run_at_once_than_there_are_slots(folder: Path) -> None:
    with entry(folder, cpus=3).leased(pytest.fail) as lease, entry(folder).leased(pytest.fail):
        assert lease is None
        assert refusal(entry(folder).slots) == "waiting for a CPU slot: 0 of 4 are free"
        assert refusal(entry(folder, cpus=2).slots).startswith("waiting for 2 CPU slots: 0 of 4")
    with entry(folder, cpus=4).leased(pytest.fail):
        assert not files(folder, ".ticket")


def test_first_come_first_served_beside_the_line_for_gpus(fake: FakeGpus, folder: Path) -> None:
    with entry(folder, cpus=3).leased(pytest.fail):
        first = entry(folder, cpus=2, at=1)
        assert refusal(entry(folder, at=2).slots) == "waiting: 1 job is before this one"
        # Nor is one for GPUs behind it, of whatever version.
        get(folder, 4).release()
        assert not waiting(folder) and [each.gpus for each in waiting(folder, "cpu")] == [2]
        first.leave()
    assert not files(folder, ".ticket")


def test_a_job_with_a_gpu_takes_none(fake: FakeGpus, folder: Path, start: Start) -> None:
    with entry(folder, cpus=4).leased(pytest.fail):
        with entry(folder, gpus=None).leased(pytest.fail) as lease:
            assert lease and lease.visible == uuid(0)
        hold(start, folder, count=0.5)


def test_a_machine_without_gpus_has_slots_for_all(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with entry(folder, gpus=None, cpus=4).leased(pytest.fail):
        assert "0 of 4 are free" in refusal(entry(folder, gpus=None).slots)


def test_without_a_limit_those_alone_wait_that_ask_for_some(folder: Path) -> None:
    cores = os.cpu_count() or 1
    with entry(folder, cpu_slots=0, cpus=cores).leased(pytest.fail):
        assert f"0 of {cores} are free" in refusal(entry(folder, cpu_slots=0, cpus=1).slots)
        with entry(folder, cpu_slots=0).leased(pytest.fail):
            pass


@pytest.mark.parametrize("asked", [{"kind": "service"}, {"interpreter": "python"}])
def test_services_and_jobs_in_the_terminal_take_none(folder: Path, asked: dict[str, Any]) -> None:
    spec = job(folder, gpus=0, cpu_slots=1).replace(**asked)
    with JobLease(spec).leased(pytest.fail), JobLease(spec).leased(pytest.fail):
        assert not list(folder.iterdir())


def test_more_than_there_ever_are_is_refused(folder: Path) -> None:
    with pytest.raises(JobError, match="asks for 5 CPU slots, and this server has 4") as told:
        entry(folder, cpus=5)
    assert "`cpus`" in told.value.hint and not list(folder.iterdir())


def test_slots_are_free_when_their_worker_dies(folder: Path, start: Start) -> None:
    holder = start(SLOTS, folder)
    assert holder.stdout and holder.stdout.readline() == "got\n"
    waiter = entry(folder)
    said: list[str] = []

    def kill(reason: str) -> None:
        said.append(reason)
        holder.kill()
        holder.wait()

    with waiter.leased(kill):
        assert said == ["waiting for a CPU slot: 0 of 4 are free"]


SLOTS = """if True:
    import sys, time
    from remote.agent.gpus.queue import JobLease
    from remote.job.spec import Job
    spec = {"kind": "command", "source": "", "name": "job", "user": "me", "leases": sys.argv[1]}
    with JobLease(Job(**spec, id="a", gpus=0, cpus=4, cpu_slots=4)).leased(print):
        print("got", flush=True)
        time.sleep(60)
"""
