"""Parts of a card: several jobs of one user, whose lease everybody else finds taken."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from remote.agent.gpus import kernel_names, lock_files
from remote.agent.gpus.lease import all_holders, holders, lease_file
from remote.agent.gpus.queue import JAX_MEMORY, JobLease, describe
from remote.job.messages.gpus import GpusRequest
from tests.agent.gpus.jobs import HOLDER, Start, files, get, hold, job, reason
from tests.agent.gpus.users import as_user, lines_until
from tests.fakegpu import FakeGpus, uuid
from tests.waiting import until


@pytest.fixture
def one(fake: FakeGpus) -> FakeGpus:
    """A machine with one card."""
    fake.state["gpus"] = fake.state["gpus"][:1]
    fake.save()
    return fake


def end(holder: Any) -> None:
    holder.kill()
    holder.wait()


def is_taken_for_earlier_versions(folder: Path) -> bool:
    """By the lock that they know, and by the name that they have to have."""
    path = lease_file(folder, uuid(0))
    return lock_files.is_held(path) and kernel_names.is_taken(path)


def test_jobs_share_a_card_until_it_is_full(one: FakeGpus, folder: Path, start: Start) -> None:
    hold(start, folder, "a", count=0.5)
    hold(start, folder, "b", count=0.25)
    why = reason(folder, 0.33)
    assert why == "waiting for 0.33 of a GPU: 0 of 1 are free (GPU 0: too little of it left)"
    with get(folder, 0.25) as third:
        assert third.visible == uuid(0)
        (gpu,) = describe(GpusRequest(key="", leases=str(folder))).gpus
        assert sorted(each.share for each in gpu.sharers) == [0.25, 0.25, 0.5]
    assert len(files(folder, ".lease")) == 3


@pytest.mark.parametrize("first_to_go", [0, 1])
def test_the_card_is_nobody_elses_until_the_last_one_is_gone(
    one: FakeGpus, folder: Path, start: Start, first_to_go: int
) -> None:
    both = [hold(start, folder, name, count=0.4) for name in ("a", "b")]
    end(both.pop(first_to_go))
    assert is_taken_for_earlier_versions(folder)
    assert "0 of 1 are free (GPU 0: " in reason(folder, 1)
    with get(folder, 0.6) as held:
        assert held.visible == uuid(0)
        end(both.pop())
        assert is_taken_for_earlier_versions(folder)
        # Which lets in another one, though it had the lease from one that is gone.
        newcomer = hold(start, folder, "c", count=0.4)
        pids = {holder.pid for holder in all_holders(folder)[uuid(0)]}
        assert pids == {newcomer.pid, os.getpid()}
    assert is_taken_for_earlier_versions(folder)


def test_a_card_whose_last_part_is_given_back_is_free(one: FakeGpus, folder: Path) -> None:
    with get(folder, 0.5), get(folder, 0.5):
        assert is_taken_for_earlier_versions(folder)
    assert not is_taken_for_earlier_versions(folder) and not holders(folder)
    assert files(folder, "") == [f"remote-gpu-{uuid(0)}.lease"]
    get(folder, 1).release()


def test_a_shared_card_is_taken_before_a_free_one(
    fake: FakeGpus, folder: Path, start: Start
) -> None:
    fake.card(0, memory_used=5000)
    hold(start, folder, "a", count=0.5)
    with get(folder, 0.5) as held, get(folder, 0.5) as other:
        assert (held.visible, other.visible) == (uuid(1), uuid(2))
        assert "waiting for 2 GPUs: 1 of 4 is free" in reason(folder, 2)


def test_what_others_take_beyond_their_parts_is_not_there(
    one: FakeGpus, folder: Path, start: Start
) -> None:
    holder = hold(start, folder, "a", count=0.25)
    one.use(0, holder.pid, memory=20480)
    get(folder, 0.75).release()
    one.use(0, holder.pid, memory=2048)
    assert "(GPU 0: too little memory free)" in reason(folder, 0.75)
    get(folder, 0.5).release()


def test_a_whole_card_is_not_shared(one: FakeGpus, folder: Path, start: Start) -> None:
    hold(start, folder, "a", count=1)
    assert "0 of 1 are free (GPU 0: a job of " in reason(folder, 0.1)


def test_files_that_are_cleaned_away_are_made_anew(
    one: FakeGpus, folder: Path, start: Start
) -> None:
    holder = hold(start, folder, "a", count=0.5)
    with get(folder, 0.5):
        for name in files(folder, ".lease"):
            (folder / name).unlink()
        until(lambda: len(files(folder, ".lease")) == 3)
        until(lambda: lock_files.is_held(lease_file(folder, uuid(0))))
        end(holder)
        until(lambda: is_taken_for_earlier_versions(folder))
        assert "too little of it left" in reason(folder, 0.75)


def test_other_users_find_the_card_taken(shared: Path, start: Start) -> None:
    first = as_user(start, 65534, HOLDER, shared, "first", 1, 0.1)
    lines_until(first, "got")
    second = as_user(start, 4321, HOLDER, shared, "second", 2, 4)
    assert "3 of 4 are free (GPU 0: " in lines_until(second, "waiting for")[-1]
    end(second)
    third = as_user(start, 4321, HOLDER, shared, "third", 3, 0.1)
    assert uuid(1) in lines_until(third, "got")[-1]
    fourth = as_user(start, 65534, HOLDER, shared, "fourth", 4, 0.9)
    assert uuid(0) in lines_until(fourth, "got")[-1]


def test_jax_is_told_how_much_it_may_take(one: FakeGpus, folder: Path) -> None:
    entry = JobLease(job(folder, gpus=1, gpu_share=0.5))
    with entry.leased(pytest.fail) as held:
        assert entry.variables(held) == {"CUDA_VISIBLE_DEVICES": uuid(0), JAX_MEMORY: "0.450"}
    entry = JobLease(job(folder, gpus=1, gpu_share=0.5, env={JAX_MEMORY: ".2"}))
    with entry.leased(pytest.fail) as held:
        assert entry.variables(held)[JAX_MEMORY] == ".2"
