"""The queue: who gets which GPU, when, and what the others hear. The locks are real."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from remote.agent import processes
from remote.agent.gpus import line, queue
from remote.agent.gpus.lease import holders
from remote.agent.gpus.queue import JobLease
from remote.agent.gpus.sources import nvidia_smi
from remote.agent.gpus.tickets import waiting
from remote.errors import JobError
from remote.job.messages.gpus import Gpu, GpusRequest
from tests.agent.gpus.jobs import (
    HOLDER,
    Heard,
    Start,
    files,
    get,
    hold,
    job,
    lease_of,
    reason,
    refusal,
    take,
    watch,
)
from tests.fakegpu import FakeGpus, uuid


def test_the_first_cards_are_leased(fake: FakeGpus, folder: Path) -> None:
    with get(folder, 2) as held:
        assert [gpu.index for gpu in held.gpus] == [0, 1]
        assert held.visible == f"{uuid(0)},{uuid(1)}"
        with get(folder) as other:
            assert other.visible == uuid(2)
    assert not files(folder, ".ticket")


def test_a_released_card_is_free(fake: FakeGpus, folder: Path) -> None:
    held = get(folder, 4)
    assert set(holders(folder)) == set(fake.uuids())
    held.release()
    held.release()
    assert not holders(folder)
    get(folder, 4).release()


def test_all_or_nothing(fake: FakeGpus, folder: Path) -> None:
    with get(folder):
        why = reason(folder, 4)
        assert why.startswith("waiting for 4 GPUs: 3 of 4 are free (GPU 0: ")
        assert set(holders(folder)) == {uuid(0)}
        get(folder, 3).release()


def test_a_machine_without_gpus_says_so(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(JobError, match="asks for a GPU") as error:
        take(folder)
    assert "--gpus 0" in error.value.hint and not list(folder.iterdir())


def test_more_than_the_machine_has_is_refused(fake: FakeGpus, folder: Path) -> None:
    with pytest.raises(JobError, match="asks for 5 GPUs") as error:
        take(folder, 5)
    assert error.value.hint == "It has 4 x NVIDIA A100-SXM4-80GB (80 GiB)"
    assert not list(folder.iterdir())


def test_more_memory_than_enough_cards_have_is_refused(fake: FakeGpus, folder: Path) -> None:
    fake.card(0, memory_total=24576, name="NVIDIA L4")
    fake.card(1, memory_total=24576, name="NVIDIA L4")
    get(folder, 2, memory=60000).release()
    with pytest.raises(JobError, match="3 GPUs with 58.59 GiB free") as error:
        take(folder, 3, memory=60000)
    assert error.value.hint == ("It has 2 x NVIDIA L4 (24 GiB), 2 x NVIDIA A100-SXM4-80GB (80 GiB)")


def mixed(fake: FakeGpus) -> None:
    """Two A100s, then two L4s."""
    for index in (2, 3):
        fake.card(index, memory_total=24576, name="NVIDIA L4")


def asks(folder: Path, *, at: float = 1.0, **asked: Any) -> JobLease:
    entry = JobLease(job(folder, submitted=at, **asked))
    entry.join()
    return entry


def test_a_model_is_a_part_of_the_name_in_any_case(fake: FakeGpus, folder: Path) -> None:
    mixed(fake)
    with lease_of(asks(folder, gpus=1, gpu_model="nvidia l4"), pytest.fail) as held:
        assert held.visible == uuid(2)
        why = refusal(asks(folder, gpus=2, gpu_model="L4"))
    assert why.startswith("waiting for 2 GPUs named L4: 1 of 2 is free (GPU 2: ")
    with pytest.raises(JobError, match="asks for a GPU named H100, which") as error:
        asks(folder, gpus=1, gpu_model="H100")
    assert error.value.hint.startswith("It has 2 x NVIDIA A100-SXM4-80GB (80 GiB), 2 x NVIDIA L4")


def test_excluded_cards_are_never_leased(fake: FakeGpus, folder: Path) -> None:
    excluded = ("0", uuid(1), "9")
    with lease_of(asks(folder, gpus=2, gpu_exclude=excluded), pytest.fail) as held:
        assert held.visible == f"{uuid(2)},{uuid(3)}"
    with pytest.raises(JobError, match="3 GPUs, which") as error:
        asks(folder, gpus=3, gpu_exclude=excluded)
    assert error.value.hint.endswith(f"; excluded: 0, {uuid(1)}, 9")
    # One that says nothing of GPUs has none where it may have none.
    with asks(folder, gpu_exclude=("0", "1", "2", "3")).leased(pytest.fail) as lease:
        assert lease is None


def test_nobody_waits_behind_a_job_for_other_cards(fake: FakeGpus, folder: Path) -> None:
    mixed(fake)
    with get(folder, 2):
        large = asks(folder, at=1, gpus=1, gpu_model="A100")
        both = asks(folder, at=2, gpus=4)
        lease_of(asks(folder, at=1.5, gpus=1, gpu_model="L4"), pytest.fail).release()
        assert refusal(asks(folder, at=3, gpus=1, gpu_model="L4")).startswith("waiting: 1 job is")
        assert "0 of 2 are free" in refusal(large) and "0 of 2" not in refusal(both)


def test_a_strangers_process_is_passed_over(fake: FakeGpus, folder: Path, start: Start) -> None:
    stranger = start("import time; time.sleep(60)")
    fake.use(0, stranger.pid, memory=10)
    with get(folder, 3) as held:
        assert uuid(0) not in held.visible
    user = processes.user_name(os.getuid())
    assert f"GPU 0: {user}'s python" in reason(folder, 4)
    fake.use(0, os.getpid())
    assert " and 1 more" in reason(folder, 4)


def test_taken_memory_is_passed_over(fake: FakeGpus, folder: Path) -> None:
    fake.card(0, memory_used=1025)
    fake.card(1, memory_used=1024)
    with get(folder) as held:
        assert held.visible == uuid(1)
    assert reason(folder, 4).endswith("3 of 4 are free (GPU 0: its memory is in use)")


def test_a_broken_card_is_passed_over(fake: FakeGpus, folder: Path) -> None:
    fake.card(0, memory_used="[GPU is lost]")
    with get(folder) as held:
        assert held.visible == uuid(1)
    assert "GPU 0: GPU is lost" in reason(folder, 4)


def test_memory_chooses_the_fullest_card_that_fits(fake: FakeGpus, folder: Path) -> None:
    for index, used in enumerate([0, 40000, 70000, 61000]):
        fake.card(index, memory_used=used)
    fake.use(3, os.getpid(), memory=100)
    with get(folder, memory=20480) as held:
        assert held.visible == uuid(3)
    with get(folder, memory=20821) as held:
        assert held.visible == uuid(1)
    with get(folder, 2, memory=20480) as held:
        assert held.visible == f"{uuid(1)},{uuid(3)}"
    assert "GPU 2: too little memory free" in reason(folder, 4, memory=20480)


@pytest.mark.parametrize("total", ["[N/A]", 128000])
def test_a_card_that_does_not_tell_its_memory_is_leased_unless_a_process_computes_there(
    total: object, fake: FakeGpus, folder: Path
) -> None:
    fake.card(0, memory_total=total, memory_used="[N/A]")
    for index in (1, 2, 3):
        fake.card(index, memory_total=1000)
    with get(folder, memory=20480) as held:
        assert held.visible == uuid(0)
    fake.use(0, os.getpid())
    assert "GPU 0: " in reason(folder, memory=20480)


def test_memory_never_shares_a_card_with_a_lease(fake: FakeGpus, folder: Path) -> None:
    fake.card(2, memory_used=50000)
    with get(folder, memory=1000) as held:
        assert held.visible == uuid(2)
        with get(folder, memory=1000) as other:
            assert other.visible == uuid(0)


def test_a_card_is_leased_as_soon_as_the_stranger_leaves(
    fake: FakeGpus, folder: Path, start: Start
) -> None:
    stranger = start("import time; time.sleep(60)")
    for index in range(4):
        fake.use(index, stranger.pid)
    heard: list[str] = []

    def say(reason: str) -> None:
        heard.append(reason)
        stranger.kill()
        stranger.wait()

    lease_of(take(folder, 4), say).release()
    assert heard[0].startswith("waiting for 4 GPUs: 0 of 4 are free (GPU 0: ")


def test_only_new_reasons_are_said(fake: FakeGpus, folder: Path) -> None:
    heard: list[str] = []
    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1
        if looks == 4:
            fake.card(1, memory_used=5000)
        if looks == 5:
            held.release()
            fake.card(0, memory_used=5000)
        if looks == 8:
            raise Heard

    held = get(folder)
    with pytest.raises(Heard):
        watch(folder, 4, look).leased(heard.append)
    # The second is not heard before a lease changes: nvidia-smi isn't asked where it can't matter.
    assert [text.partition(" (")[0] for text in heard] == [
        "waiting for 4 GPUs: 3 of 4 are free",
        "waiting for 4 GPUs: 2 of 4 are free",
    ]
    assert not files(folder, ".ticket") and not holders(folder)


def test_nvidia_smi_rests_while_it_cannot_matter(fake: FakeGpus, folder: Path) -> None:
    looks = iter(range(5))
    with get(folder, 2):
        ticket = watch(folder, 4, lambda: next(looks))
        before = len(fake.calls())
        with pytest.raises(StopIteration):
            ticket.leased(lambda reason: None)
        assert len(fake.calls()) == before + 2


def test_a_driver_that_is_busy_for_a_moment_ends_no_job(fake: FakeGpus, folder: Path) -> None:
    ticket = take(folder)
    fake.change(failure="driver")
    heard: list[str] = []

    def say(reason: str) -> None:
        heard.append(reason)
        fake.change(failure=None)

    lease_of(ticket, say).release()
    assert len(heard) == 1 and "couldn't communicate with the NVIDIA driver" in heard[0]


def test_a_driver_that_stays_broken_ends_the_job(
    fake: FakeGpus, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket = take(folder)
    fake.change(failure="driver")
    monkeypatch.setattr(line, "PATIENCE", 0.5)
    with pytest.raises(JobError, match="NVIDIA driver"):
        ticket.leased(lambda reason: None)
    assert not files(folder, ".ticket")


def test_a_folder_that_cannot_be_written_to(fake: FakeGpus, tmp_path: Path) -> None:
    with pytest.raises(JobError, match="can't join the queue") as error:
        take(tmp_path / "absent")
    assert "No such file" in error.value.message
    with pytest.raises(JobError, match="There is no folder .*/absent"):
        queue.describe(GpusRequest(key="", leases=str(tmp_path / "absent")))


def test_the_next_look_after_a_holder_was_killed_gets_its_gpus(
    fake: FakeGpus, folder: Path, start: Start
) -> None:
    holder = hold(start, folder, count=4)
    events: list[str] = []

    def kill(reason: str) -> None:
        events.append(reason.partition(" (")[0])
        holder.kill()
        holder.wait()

    lease_of(watch(folder, 4, lambda: events.append("look")), kill).release()
    assert events == ["look", "waiting for 4 GPUs: 0 of 4 are free", "look"]


def test_only_the_first_in_line_leases(fake: FakeGpus, folder: Path) -> None:
    first, third, second = take(folder, at=1), take(folder, at=3), take(folder, at=2)
    assert [each.submitted for each in waiting(folder)] == [1.0, 2.0, 3.0]
    assert refusal(third) == "waiting: 2 jobs are before this one"
    assert refusal(second) == "waiting: 1 job is before this one"
    lease_of(first, pytest.fail).release()
    assert not files(folder, ".ticket")


def test_a_small_job_does_not_overtake_a_big_one(fake: FakeGpus, folder: Path) -> None:
    with get(folder):
        big = take(folder, 4, at=1)
        assert "1 job is before" in reason(folder, 1, at=2)
        assert "3 of 4 are free" in refusal(big)


def test_an_earlier_job_that_comes_later_is_first(fake: FakeGpus, folder: Path) -> None:
    later = take(folder, at=5)
    earlier = take(folder, at=4)
    assert "1 job is before" in refusal(later)
    lease_of(earlier, pytest.fail).release()


def test_one_that_comes_while_we_choose_is_not_overtaken(
    fake: FakeGpus, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket, real = take(folder, at=5), nvidia_smi.gpus
    came: list[JobLease] = []

    def read() -> list[Gpu]:
        found = real()
        if not came:
            monkeypatch.setattr(nvidia_smi, "gpus", real)
            came.append(take(folder, at=4))
        return found

    monkeypatch.setattr(nvidia_smi, "gpus", read)
    assert refusal(ticket) == "waiting: 1 job is before this one"
    assert came and not holders(folder)
    came[0].leave()


def test_a_waiter_hears_when_the_line_moves(fake: FakeGpus, folder: Path) -> None:
    first, second, third = (take(folder, at=at) for at in (1, 2, 3))
    heard: list[str] = []

    def say(reason: str) -> None:
        heard.append(reason)
        first.leave() if len(heard) == 1 else second.leave()

    lease_of(third, say).release()
    assert heard == ["waiting: 2 jobs are before this one", "waiting: 1 job is before this one"]


@pytest.mark.parametrize("before, pause", [(7, line.POLL), (8, line.FAR_POLL)])
def test_who_can_hardly_be_next_looks_seldom(
    fake: FakeGpus, folder: Path, monkeypatch: pytest.MonkeyPatch, before: int, pause: float
) -> None:
    others = [take(folder, at=at) for at in range(1, 1 + before)]
    last, pauses = take(folder, at=9), []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        for other in others:
            other.leave()

    # The lock of who has just left may take another look.
    monkeypatch.setattr(line, "time", SimpleNamespace(sleep=sleep, monotonic=lambda: 0.0))
    with lease_of(last, str):
        assert pauses[0] == pause


@pytest.mark.parametrize("when", ["in line", "waiting"])
def test_a_signal_while_waiting_leaves_nothing_behind(
    fake: FakeGpus, folder: Path, start: Start, when: str
) -> None:
    """The worker is stopped by an exception that its signal handler raises."""
    code = f"""if True:
        import os, signal
        class Stopped(BaseException): pass
        def stop(number, frame): raise Stopped
        signal.signal(signal.SIGTERM, stop)
        code = {HOLDER!r}
        try:
            exec(code)
        except Stopped:
            kept = [os.readlink(f"/proc/self/fd/{{fd}}") for fd in range(3, 30)
                    if os.path.islink(f"/proc/self/fd/{{fd}}")]
            print("stopped", [name for name in kept if "remote-gpu" in name], flush=True)
    """
    with get(folder, 4):
        waiter = start(code, folder, "j", 1, 1, stdin=subprocess.PIPE)
        assert waiter.stdout
        while when not in waiter.stdout.readline():
            pass
        waiter.terminate()
        rest = waiter.communicate(timeout=30)[0]
        assert rest.splitlines()[-1] == "stopped []"
        assert not files(folder, ".ticket") and not files(folder, ".new")


def test_a_place_can_be_given_up(fake: FakeGpus, folder: Path) -> None:
    entry = take(folder)
    assert len(files(folder, ".ticket")) == 1
    entry.leave()
    entry.leave()
    assert not files(folder, "")
    with pytest.raises(ValueError):
        entry.leased(pytest.fail)


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


@pytest.mark.parametrize("with_cards", [True, False])
def test_a_job_without_gpus_sees_none_whatever_the_login_sets(
    with_cards: bool, fake: FakeGpus, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not with_cards:
        monkeypatch.setenv("PATH", str(tmp_path))
    variables = JobLease(job(folder, gpus=0)).variables(None)
    assert variables == {"CUDA_VISIBLE_DEVICES": "", "ROCR_VISIBLE_DEVICES": ""}
