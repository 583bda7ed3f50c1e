"""Leases and the queue: real locks, real processes as workers, and a fake nvidia-smi."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from remote.agent import processes
from remote.agent.gpus import holders as holding
from remote.agent.gpus import lease as leases
from remote.agent.gpus import lock_files, queue, sources
from remote.agent.gpus.holders import Holder, holders, lease_file
from remote.agent.gpus.lease import Lease
from remote.agent.gpus.queue import QueueEntry
from remote.agent.gpus.sources import nvidia_smi
from remote.agent.gpus.sources.base import Gpu
from remote.agent.gpus.tickets import GpuRequest, Ticket, waiting
from remote.errors import JobError
from tests.conftest import ROOT
from tests.fakegpu import FakeGpus, uuid
from tests.waiting import until

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeGpus:
    made = FakeGpus(tmp_path / "fake gpus", count=4)
    monkeypatch.setenv("PATH", made.path())
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "leases of all"
    made.mkdir()
    made.chmod(0o1777)
    return made


@pytest.fixture
def start() -> Iterator[Start]:
    """Start Python code in a process, which ends with the test."""
    started: list[subprocess.Popen[str]] = []

    def begin(code: str, *words: object, **options: Any) -> subprocess.Popen[str]:
        argv = [sys.executable, "-c", code, *(str(word) for word in words)]
        options = {"cwd": ROOT, "stdout": subprocess.PIPE, "text": True, **options}
        started.append(subprocess.Popen(argv, **options))
        return started[-1]

    yield begin
    for each in started:
        each.kill()
        each.communicate()


def take(folder: Path, count: int = 1, *, at: float = 1.0, memory: int = 0) -> QueueEntry:
    return QueueEntry.join(folder, job="job", submitted=at, gpus=count, memory=memory, user="me")


def get(folder: Path, count: int = 1, *, memory: int = 0) -> Lease:
    """A lease that must be there at once."""

    def refuse(reason: str) -> None:
        raise AssertionError(reason)

    return take(folder, count, memory=memory).wait(refuse)


def reason(folder: Path, count: int = 1, *, at: float = 1.0, memory: int = 0) -> str:
    """Why there is no lease."""
    return refusal(take(folder, count, at=at, memory=memory))


class Heard(Exception):
    """Somebody heard a reason, and waits no more."""


def refusal(entry: QueueEntry) -> str:
    def stop(reason: str) -> None:
        raise Heard(reason)

    with pytest.raises(Heard) as heard:
        entry.wait(stop).release()
    return str(heard.value)


def files(folder: Path, ending: str) -> list[str]:
    return sorted(name for name in os.listdir(folder) if name.endswith(ending))


#: Takes a ticket, waits, says what it got, and holds it until its input ends.
HOLDER = """if True:
    import sys
    from pathlib import Path
    from remote.agent.gpus.queue import QueueEntry
    folder, job, submitted, count = sys.argv[1:5]
    with QueueEntry.join(
        Path(folder), job=job, submitted=float(submitted), gpus=int(count), memory=0, user="me"
    ) as ticket:
        print("in line", flush=True)
        lease = ticket.wait(lambda reason: print(reason, flush=True))
    print("got", lease.visible, flush=True)
    sys.stdin.read()
    lease.release()
"""


def hold(start: Start, folder: Path, job: str = "j", at: float = 1.0, count: int = 1) -> Any:
    """A process that got its GPUs."""
    holder = start(HOLDER, folder, job, at, count, stdin=subprocess.PIPE)
    for line in holder.stdout or ():
        if line.startswith("got"):
            return holder
    raise AssertionError("the holder got nothing")


# What may be leased


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


def test_no_half_lease_stays(fake: FakeGpus, folder: Path) -> None:
    cards = sources.gpus()
    with get(folder, 2):
        assert leases.lease(folder, cards[1:]) is None
        assert set(holders(folder)) == {uuid(0), uuid(1)}


def test_a_job_without_gpus_never_queues(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    first = get(folder, 0)
    assert first.visible == "" and first.gpus == ()
    assert not list(folder.iterdir())
    first.keep_fresh()
    first.release()


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
    assert reason(folder, 4).endswith("3 of 4 are free (GPU 0: its memory is taken)")


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

    take(folder, 4).wait(say).release()
    assert heard[0].startswith("waiting for 4 GPUs: 0 of 4 are free (GPU 0: ")


def test_only_new_reasons_are_said(fake: FakeGpus, folder: Path) -> None:
    heard: list[str] = []
    looks = 0

    def wanted() -> bool:
        nonlocal looks
        looks += 1
        if looks == 4:
            fake.card(1, memory_used=5000)
        if looks == 5:
            held.release()
            fake.card(0, memory_used=5000)
        return looks < 8

    held = get(folder)
    with pytest.raises(JobError, match="isn't wanted any more"):
        take(folder, 4).wait(heard.append, wanted)
    # The second is not heard before a lease changes: nvidia-smi isn't asked where it can't matter.
    assert [text.partition(" (")[0] for text in heard] == [
        "waiting for 4 GPUs: 3 of 4 are free",
        "waiting for 4 GPUs: 2 of 4 are free",
    ]
    assert not files(folder, ".ticket") and not holders(folder)


def test_nvidia_smi_rests_while_it_cannot_matter(fake: FakeGpus, folder: Path) -> None:
    looks = iter(range(6))
    with get(folder, 2):
        ticket = take(folder, 4)
        before = len(fake.calls())
        with pytest.raises(JobError):
            ticket.wait(lambda reason: None, lambda: next(looks) < 5)
        assert len(fake.calls()) == before + 2


def test_a_driver_that_is_busy_for_a_moment_ends_no_job(fake: FakeGpus, folder: Path) -> None:
    ticket = take(folder)
    fake.change(failure="driver")
    heard: list[str] = []

    def say(reason: str) -> None:
        heard.append(reason)
        fake.change(failure=None)

    ticket.wait(say).release()
    assert len(heard) == 1 and "couldn't communicate with the NVIDIA driver" in heard[0]


def test_a_driver_that_stays_broken_ends_the_job(
    fake: FakeGpus, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket = take(folder)
    fake.change(failure="driver")
    monkeypatch.setattr(queue, "PATIENCE", 0.5)
    with pytest.raises(JobError, match="NVIDIA driver"):
        ticket.wait(lambda reason: None)
    assert not files(folder, ".ticket")


def test_a_folder_that_cannot_be_written_to(fake: FakeGpus, tmp_path: Path) -> None:
    with pytest.raises(JobError, match="can't join the queue") as error:
        take(tmp_path / "absent")
    assert "No such file" in error.value.message


# Hostile files


def plant_link(path: Path, victim: Path) -> None:
    path.symlink_to(victim)


def plant_dangling_link(path: Path, victim: Path) -> None:
    path.symlink_to(victim.with_name("made through the link"))


def plant_pipe(path: Path, victim: Path) -> None:
    os.mkfifo(path)


def plant_folder(path: Path, victim: Path) -> None:
    path.mkdir()


def plant_second_name(path: Path, victim: Path) -> None:
    os.link(victim, path)


PLANTED = [plant_link, plant_dangling_link, plant_pipe, plant_folder, plant_second_name]
WORDS = ["is a link", "is a link", "isn't a plain file", "isn't a plain file", "2 names"]


@pytest.mark.parametrize("plant, words", list(zip(PLANTED, WORDS)))
def test_a_hostile_lease_file_is_refused(
    fake: FakeGpus, folder: Path, tmp_path: Path, plant: Any, words: str
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    victim.chmod(0o600)
    before = victim.stat()
    path = lease_file(folder, uuid(0))
    plant(path, victim)
    planted = path.lstat()
    with get(folder) as held:
        assert held.visible == uuid(1)
    why = reason(folder, 4)
    assert "3 of 4 are free" in why and str(path) in why and words in why, why
    assert not holders(folder) or set(holders(folder)) <= {uuid(1)}
    after = victim.stat()
    assert victim.read_text() == "precious" and after.st_mode == before.st_mode
    assert after.st_mtime_ns == before.st_mtime_ns
    assert path.lstat().st_ino == planted.st_ino
    assert not (tmp_path / "made through the link").exists()


@pytest.mark.parametrize("plant", PLANTED)
def test_a_hostile_ticket_is_passed_over(
    fake: FakeGpus, folder: Path, tmp_path: Path, plant: Any
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    plant(folder / f"remote-gpu-{0:020d}-00000000.ticket", victim)
    get(folder).release()
    assert waiting(folder) == []
    assert victim.read_text() == "precious"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "\xff",
        "[" * 4096,
        '{"job": "../x\\u001b[2J", "user": 3, "gpus": -1, "memory": 1e999, "submitted": {}}',
        '{"job": {"a": 1}, "user": null, "gpus": "many", "memory": true}',
        "x" * 100000,
    ],
)
def test_what_a_stranger_wrote_on_a_ticket_hurts_nobody(folder: Path, text: str) -> None:
    name = f"remote-gpu-{7 * 10**9:020d}-0123abcd.ticket"
    (folder / name).write_text(text, encoding="latin-1")
    with lock_files.open_plain(folder / name) as file:
        lock_files.lock_own(file)
        (found,) = waiting(folder)
    assert found.submitted == 7.0 and found.job == "" and found.user == ""
    assert found.gpus == 0 and found.memory in (0, True)


def test_control_characters_of_a_user_are_not_shown(folder: Path) -> None:
    place = Ticket(folder, GpuRequest("j", "a\x1b[2J\n", 1, 0, 1.0))
    assert waiting(folder)[0].user == "a?[2J?"
    place.close()


# Locks and the files below them


def test_a_lease_file_serves_everybody_whatever_the_umask(fake: FakeGpus, folder: Path) -> None:
    before = os.umask(0o077)
    try:
        with get(folder):
            path = lease_file(folder, uuid(0))
            assert stat.S_IMODE(path.stat().st_mode) == 0o644
            ticket = take(folder)
            (name,) = files(folder, ".ticket")
            assert stat.S_IMODE((folder / name).stat().st_mode) == 0o644
            ticket.close()
    finally:
        os.umask(before)


def test_a_file_that_is_there_is_opened_without_creating(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel refuses O_CREAT on files of others in a sticky folder (fs.protected_regular)."""
    path, real = folder / "remote-gpu-x.lease", os.open
    flags: list[int] = []

    def remember(name: Any, flag: int, mode: int = 0o777) -> int:
        flags.append(flag)
        return real(name, flag, mode)

    monkeypatch.setattr(os, "open", remember)
    for _ in range(2):
        file = lock_files.take(path)
        assert file is not None
        file.close()
    made = [bool(flag & os.O_CREAT) for flag in flags]
    assert made == [False, True, False] and flags[1] & os.O_EXCL
    assert all(flag & os.O_NOFOLLOW and flag & os.O_CLOEXEC for flag in flags)


def test_a_lease_file_stays_and_is_used_again(fake: FakeGpus, folder: Path) -> None:
    get(folder).release()
    path = lease_file(folder, uuid(0))
    before = path.stat().st_ino
    with get(folder):
        assert path.stat().st_ino == before


def test_a_file_that_is_deleted_between_opening_and_locking(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "remote-gpu-x.lease"
    path.touch()
    real, deleted = lock_files._lock, []

    def delete_first(file: Any, kind: int) -> bool:
        if not deleted:
            deleted.append(path.unlink())
        return real(file, kind)

    monkeypatch.setattr(lock_files, "_lock", delete_first)
    file = lock_files.take(path)
    assert file is not None and lock_files.is_at(file, path)
    monkeypatch.setattr(lock_files, "_lock", real)
    assert lock_files.take(path) is None
    file.close()


def test_a_file_that_is_always_deleted_is_given_up(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "remote-gpu-x.lease"
    real = lock_files._lock

    def delete(file: Any, kind: int) -> bool:
        path.unlink()
        return real(file, kind)

    monkeypatch.setattr(lock_files, "_lock", delete)
    with pytest.raises(lock_files.RefusedError, match="vanishes"):
        lock_files.take(path)


def test_a_lease_outlives_the_deletion_of_its_file(fake: FakeGpus, folder: Path) -> None:
    with get(folder) as held:
        lease_file(folder, uuid(0)).unlink()
        assert not holders(folder)
        held.keep_fresh()
        assert set(holders(folder)) == {uuid(0)}
        with get(folder) as other:
            assert other.visible == uuid(1)
    assert not holders(folder)


def test_a_lease_is_kept_fresh_by_itself(
    fake: FakeGpus, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "FRESH", 0.05)
    path = lease_file(folder, uuid(0))
    with get(folder):
        os.utime(path, (1, 1))
        until(lambda: path.stat().st_mtime > 1)


def test_a_ticket_is_kept_fresh(
    fake: FakeGpus, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "FRESH", 0.05)
    ticket = take(folder, 4)
    (name,) = files(folder, ".ticket")
    os.utime(folder / name, (1, 1))
    with get_by_force(folder):
        with pytest.raises(JobError):
            ticket.wait(lambda reason: None, lambda: (folder / name).stat().st_mtime == 1)


def get_by_force(folder: Path) -> Lease:
    """A lease past the line."""
    held = leases.lease(folder, sources.gpus()[:1])
    assert held is not None
    return held


def test_a_deleted_ticket_keeps_its_place(fake: FakeGpus, folder: Path) -> None:
    wish = GpuRequest("first", "me", 1, 0, 1.0)
    first = Ticket(folder, wish)
    second = Ticket(folder, GpuRequest("second", "me", 1, 0, 2.0))
    assert second.before() == 1
    for name in files(folder, ".ticket"):
        (folder / name).unlink()
    assert first.before() == 0
    assert second.before() == 1
    assert [each.job for each in waiting(folder)] == ["first", "second"]
    first.close()
    assert second.before() == 0
    assert [each.job for each in waiting(folder)] == ["second"]
    second.close()
    assert not files(folder, "")


def test_children_inherit_no_lock(fake: FakeGpus, folder: Path, start: Start) -> None:
    """A child that outlives its killed worker keeps neither GPUs nor a place in the line."""
    code = HOLDER.replace(
        "sys.stdin.read()",
        """
    import subprocess
    place = QueueEntry.join(Path(folder), job="x", submitted=0.5, gpus=1, memory=0, user="me")
    child = subprocess.Popen(["sleep", "60"], close_fds=False)
    print(child.pid, flush=True)
    sys.stdin.read()
    """,
    )
    holder = start(code, folder, "j", 1, 4, stdin=subprocess.PIPE)
    assert holder.stdout and holder.stdout.readline() == "in line\n"
    assert holder.stdout.readline().startswith("got")
    child = int(holder.stdout.readline())
    try:
        assert set(holders(folder)) == set(fake.uuids())
        assert len(waiting(folder)) == 1
        holder.kill()
        holder.wait()
        get(folder, 4).release()
        os.kill(child, 0)
    finally:
        os.kill(child, signal.SIGKILL)


def test_the_next_look_after_a_holder_was_killed_gets_its_gpus(
    fake: FakeGpus, folder: Path, start: Start
) -> None:
    holder = hold(start, folder, count=4)
    events: list[str] = []

    def kill(reason: str) -> None:
        events.append(reason.partition(" (")[0])
        holder.kill()
        holder.wait()

    def look() -> bool:
        events.append("look")
        return True

    take(folder, 4).wait(kill, look).release()
    assert events == ["look", "waiting for 4 GPUs: 0 of 4 are free", "look"]


# The line


def test_only_the_first_in_line_leases(fake: FakeGpus, folder: Path) -> None:
    first, third, second = take(folder, at=1), take(folder, at=3), take(folder, at=2)
    assert [each.submitted for each in waiting(folder)] == [1.0, 2.0, 3.0]
    assert refusal(third) == "waiting: 2 jobs are before this one"
    assert refusal(second) == "waiting: 1 job is before this one"
    first.wait(pytest.fail).release()
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
    earlier.wait(pytest.fail).release()


def test_one_that_comes_while_we_choose_is_not_overtaken(
    fake: FakeGpus, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket, real = take(folder, at=5), nvidia_smi.gpus
    came: list[QueueEntry] = []

    def read() -> list[Gpu]:
        found = real()
        if not came:
            monkeypatch.setattr(nvidia_smi, "gpus", real)
            came.append(take(folder, at=4))
        return found

    monkeypatch.setattr(nvidia_smi, "gpus", read)
    assert refusal(ticket) == "waiting: 1 job is before this one"
    assert came and not holders(folder)
    came[0].close()


def test_the_dead_are_passed_over_and_tidied_away(
    fake: FakeGpus, folder: Path, start: Start
) -> None:
    with get(folder, 4):
        waiter = start(HOLDER, folder, "dead", 0.5, 1, stdin=subprocess.PIPE)
        assert waiter.stdout and waiter.stdout.readline() == "in line\n"
        assert "1 job is before" in reason(folder, at=1)
        assert [each.job for each in waiting(folder)] == ["dead"]
        waiter.kill()
        waiter.wait()
        assert waiting(folder) == []
        assert len(files(folder, ".ticket")) == 1
    get(folder).release()
    assert files(folder, ".ticket") == []


def test_a_waiter_hears_when_the_line_moves(fake: FakeGpus, folder: Path) -> None:
    first, second, third = (take(folder, at=at) for at in (1, 2, 3))
    heard: list[str] = []

    def say(reason: str) -> None:
        heard.append(reason)
        first.close() if len(heard) == 1 else second.close()

    third.wait(say).release()
    assert heard == ["waiting: 2 jobs are before this one", "waiting: 1 job is before this one"]


def test_many_tickets_at_the_same_moment(fake: FakeGpus, folder: Path) -> None:
    held = [take(folder, at=1) for _ in range(20)]
    assert len(waiting(folder)) == 20
    for ticket in held:
        ticket.close()
    assert not files(folder, "")


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


def test_a_ticket_can_be_given_up(fake: FakeGpus, folder: Path) -> None:
    with take(folder) as ticket:
        assert len(files(folder, ".ticket")) == 1
    ticket.close()
    assert not files(folder, "")
    with pytest.raises(ValueError):
        ticket.wait(pytest.fail)


# Who holds what


def test_a_holder_is_told_from_its_lock(fake: FakeGpus, folder: Path, start: Start) -> None:
    holder = hold(start, folder)
    user = processes.user_name(os.getuid())
    assert holders(folder) == {uuid(0): Holder(holder.pid, user, "")}
    assert f"GPU 0: a job of {user}, process {holder.pid}" in reason(folder, 4)


@pytest.mark.parametrize("verb", ["work", "work-here"])
def test_a_worker_is_told_by_its_job(
    fake: FakeGpus, folder: Path, start: Start, verb: str, tmp_path: Path
) -> None:
    """The command line is that of a real worker, and the rest comes by the environment."""
    agent = tmp_path / "agent.py"
    words = repr(["x", str(folder), "j", "1", "1"])
    agent.write_text(f"import sys\nsys.argv = {words}\nexec({HOLDER!r})\n")
    argv = [sys.executable, str(agent), verb, "0" * 16, "20260101-000000-a-job-12ab"]
    worker = subprocess.Popen(
        argv,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert worker.stdout and worker.stdout.readline() == "in line\n"
        assert worker.stdout.readline().startswith("got")
        found = holders(folder)[uuid(0)]
        assert found.pid == worker.pid and found.job == "20260101-000000-a-job-12ab"
        assert "GPU 0: job 20260101-000000-a-job-12ab" in reason(folder, 4)
    finally:
        worker.kill()
        worker.communicate()


def test_a_hostile_command_line_is_no_job(folder: Path) -> None:
    assert holding.job_of(["python", "agent.zip", "work", "k", "j\x1b[2J", ""]) == ""
    assert holding.job_of(["work", "k", "j", ""]) == "j"
    assert holding.job_of(["k", "j"]) == "" and holding.job_of([]) == ""


def test_where_the_system_tells_nothing_the_holder_is_unknown(
    fake: FakeGpus, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "PROC", tmp_path / "no proc")
    with get(folder):
        assert holders(folder) == {uuid(0): Holder()}
        assert "GPU 0: another job" in reason(folder, 4)


# Many jobs


#: Four of these start ten jobs each, as one after the other is submitted.
CLIENT = """if True:
    import subprocess, sys, time
    worker, folder, log, cards, client, sizes = sys.argv[1:7]
    children = []
    for number, size in enumerate(sizes.split(",")):
        name = f"{client}-{number}"
        argv = [sys.executable, "-c", worker, folder, log, cards, name, repr(time.time()), size]
        children.append(subprocess.Popen(argv))
    sys.exit(max(child.wait() for child in children))
"""

WORKER = """if True:
    import json, random, sys, time
    from pathlib import Path
    from remote.agent.gpus.queue import QueueEntry
    folder, log, cards, name, submitted, size = sys.argv[1:7]
    entry = QueueEntry.join(
        Path(folder), job=name, submitted=float(submitted), gpus=int(size), memory=0, user="me"
    )
    joined, said, looks = time.time(), [], []
    lease = entry.wait(said.append, lambda: looks.append(time.time()) or True)
    left = time.time()
    # So long that the cards, and not the queue, are what is short.
    time.sleep(random.Random(name).uniform(0.05, 0.2) * int(cards))
    until = time.time()
    lease.release()
    seen = {"job": name, "size": int(size), "submitted": float(submitted), "joined": joined}
    seen.update(since=lease.since, left=left, until=until, released=time.time())
    seen.update(uuids=lease.visible.split(","), said=said, looks=looks)
    (Path(log) / name).write_text(json.dumps(seen))
"""

SIZES = "1,2,4,1,1,2,4,2,1,1"


@pytest.mark.parametrize("count", [4, 8])
def test_forty_jobs_of_four_clients(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path, start: Start, count: int
) -> None:
    fake = FakeGpus(tmp_path / "fake", count=count)
    monkeypatch.setenv("PATH", fake.path())
    log = tmp_path / "log"
    log.mkdir()
    clients = [start(CLIENT, WORKER, folder, log, count, client, SIZES) for client in range(4)]
    assert [client.wait(timeout=200) for client in clients] == [0] * 4
    jobs = [json.loads(path.read_text()) for path in sorted(log.iterdir())]
    assert len(jobs) == 40 and any(job["said"] for job in jobs)
    assert all(len(set(job["uuids"])) == job["size"] for job in jobs)
    assert {uuid for job in jobs for uuid in job["uuids"]} <= set(fake.uuids())
    check_no_gpu_is_held_twice(jobs)
    check_order(jobs)
    check_no_gpu_is_idle(jobs, count)
    assert not files(folder, ".ticket") and not files(folder, ".new")
    assert not holders(folder)


def check_no_gpu_is_held_twice(jobs: list[dict[str, Any]]) -> None:
    for gpu in {gpu for job in jobs for gpu in job["uuids"]}:
        spans = sorted((job["since"], job["until"]) for job in jobs if gpu in job["uuids"])
        for (_, end), (begin, _) in zip(spans, spans[1:]):
            assert end <= begin, (gpu, spans)


def check_order(jobs: list[dict[str, Any]]) -> None:
    """Nobody starts before one who was submitted earlier and stood in line already."""
    for later in jobs:
        for earlier in jobs:
            if earlier["submitted"] < later["submitted"] and earlier["joined"] < later["since"]:
                assert earlier["since"] < later["since"], (earlier, later)


def check_no_gpu_is_idle(jobs: list[dict[str, Any]], count: int) -> None:
    """Who is first, while as many GPUs as it needs are free, has them after its next look.

    Or after the one that follows, as somebody else's look at a lock holds it for a moment. How
    long a look takes is the machine's affair.
    """
    for job in jobs:
        before = [other for other in jobs if other["since"] < job["since"]]
        first = max([job["joined"], *(other["left"] for other in before)])
        moments = [first, *(other["released"] for other in before if other["released"] > first)]
        could = min(moment for moment in moments if fits(job, before, moment, count))
        late = [look for look in job["looks"] if look > could]
        assert len(late) <= 2, (late, could, job)


def fits(job: dict[str, Any], others: list[dict[str, Any]], moment: float, count: int) -> bool:
    held = sum(other["size"] for other in others if other["since"] <= moment < other["released"])
    return count - held >= int(job["size"])


# Several users


#: Python of the system: other users can't reach one that lies in somebody's home.
PYTHON = shutil.which("python3", path="/usr/bin:/usr/local/bin")

#: Imported as root, run as another: a process that changes its user so is hidden in /proc
#: unless it asks not to be (PR_SET_DUMPABLE).
BECOME = """if True:
    import ctypes, os, subprocess, sys
    import remote.agent.gpus.queue
    uid, code = int(sys.argv[1]), sys.argv[2]
    del sys.argv[1:3]
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
    exec(code)
"""


def as_user(start: Start, uid: int, code: str, *words: object) -> Any:
    return start(BECOME, uid, code, *words, stdin=subprocess.PIPE)


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A world-writable folder and four GPUs for processes of several users."""
    if os.getuid() != 0:
        pytest.skip("needs root, to be two other users")
    if PYTHON is None:
        pytest.skip("needs a python3 of the system, for other users")
    folder = Path(tempfile.mkdtemp(prefix="remote-test-"))
    folder.chmod(0o1777)
    try:
        fake = FakeGpus(folder / "fake", count=4, python=PYTHON)
        for path in (folder / "fake", fake.bin):
            path.chmod(0o755)
        monkeypatch.setenv("PATH", fake.path())
        yield folder
    finally:
        shutil.rmtree(folder)


def lines_until(process: Any, word: str) -> list[str]:
    found = []
    for line in process.stdout:
        found.append(line)
        if line.startswith(word):
            return found
    raise AssertionError(f"never said {word}: {found}")


def test_two_users_share_the_machine(shared: Path, start: Start) -> None:
    nobody, other = 65534, 4321
    first = as_user(start, nobody, HOLDER, shared, "first", 1, 3)
    lines_until(first, "got")
    second = as_user(start, other, HOLDER, shared, "second", 2, 4)
    (line,) = lines_until(second, "waiting for 4")[1:]
    user = processes.user_name(nobody)
    assert line.count(f"a job of {user}, process {first.pid}") == 3, line
    third = as_user(start, nobody, HOLDER, shared, "third", 3, 1)
    assert lines_until(third, "waiting")[-1] == "waiting: 1 job is before this one\n"
    assert [each.job for each in waiting(shared)] == ["second", "third"]
    first.kill()
    lines_until(second, "got")
    # The files are those of the first, and serve the second all the same.
    assert lease_file(shared, uuid(0)).stat().st_uid == nobody
    assert {each.user for each in holders(shared).values()} == {processes.user_name(other)}
    second.communicate("")
    lines_until(third, "got")
    assert [each.user for each in holders(shared).values()] == [user]


def test_the_ticket_of_another_users_dead_waiter_is_passed_over(shared: Path, start: Start) -> None:
    holder = as_user(start, 4321, HOLDER, shared, "holder", 1, 4)
    lines_until(holder, "got")
    dead = as_user(start, 65534, HOLDER, shared, "dead", 2, 1)
    lines_until(dead, "waiting")
    dead.kill()
    dead.wait()
    holder.communicate("")
    other = as_user(start, 4321, HOLDER, shared, "other", 3, 4)
    lines_until(other, "got")
    # It can't be deleted there, which hurts nobody, and its own user's next job does it.
    assert len(files(shared, ".ticket")) == 1
    last = as_user(start, 65534, HOLDER, shared, "last", 4, 1)
    lines_until(last, "waiting")
    assert [each.job for each in waiting(shared)] == ["last"]
    assert len(files(shared, ".ticket")) == 1


def test_files_of_others_are_kept_fresh_by_reading(shared: Path, start: Start) -> None:
    path = lease_file(shared, uuid(0))
    path.touch(mode=0o644)
    os.utime(path, (1, 1))
    if os.statvfs(shared).f_flag & os.ST_NOATIME:
        pytest.skip("this file system keeps no times of reading")
    code = """if True:
        import sys
        from pathlib import Path
        from remote.agent.gpus import lock_files as locks
        with locks.open_plain(Path(sys.argv[1])) as file:
            locks.keep_fresh(file)
    """
    assert as_user(start, 65534, code, path).wait(timeout=60) == 0
    assert path.stat().st_atime > 1 and path.stat().st_mtime == 1


def test_a_file_that_others_may_not_read_is_refused(shared: Path, start: Start) -> None:
    path = lease_file(shared, uuid(0))
    path.touch(mode=0o600)
    first = as_user(start, 65534, HOLDER, shared, "first", 1, 4)
    (line,) = lines_until(first, "waiting")[1:]
    assert f"(GPU 0: {path} can't be used: Permission denied)" in line
    second = as_user(start, 65534, HOLDER, shared, "second", 0, 3)
    lines_until(second, "got")
