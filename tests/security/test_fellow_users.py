"""Another user of the server: what is planted where all may write hurts nobody else."""

from __future__ import annotations

import json
import os
import pwd
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from remote.agent import processes
from remote.agent.gpus import kernel_names, lock_owners, tickets
from remote.agent.gpus.lease import lease_file
from remote.agent.gpus.queue import describe
from remote.agent.gpus.tickets import Ticket, waiting
from remote.errors import ConfigError
from remote.job.messages.gpus import GpusRequest, WaitingJob
from remote.transport import ssh
from tests.fakegpu import FakeGpus, uuid

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
SOMEBODY = next((each.pw_uid for each in pwd.getpwall() if each.pw_name == "nobody"), 65534)

#: Plants a ticket as another user where that can be, and holds it until its input ends.
FELLOW = """if True:
    import fcntl, os, sys
    name, uid, text, how = sys.argv[1:5]
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(int(uid))
        os.setuid(int(uid))
    file = open(name, "w")
    file.write(text)
    file.flush()
    if how == "by a dead parent" and os.fork() > 0:
        os._exit(0)
    if how == "of a process that died":
        locker = os.fork()
        if not locker:
            fcntl.flock(file, fcntl.LOCK_EX)
            os._exit(0)
        os.waitpid(locker, 0)
    else:
        fcntl.flock(file, fcntl.LOCK_EX)
    os.utime(name, (0, 0))
    print("held", flush=True)
    sys.stdin.read()
"""

Plant = Callable[..., Path]


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that every user reaches, as /tmp."""
    with tempfile.TemporaryDirectory(dir="/tmp") as made:
        os.chmod(made, 0o1777)
        yield Path(made)


@pytest.fixture
def plant(folder: Path) -> Iterator[Plant]:
    begun: list[subprocess.Popen[str]] = []

    def begin(at: float, text: str = "", how: str = "", uid: int = SOMEBODY) -> Path:
        path = folder / f"remote-gpu-{int(at * 1e9):020d}-0123456{len(begun)}.ticket"
        argv = [sys.executable, "-c", FELLOW, str(path), str(uid), text, how]
        begun.append(
            subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/"
            )
        )
        assert begun[-1].stdout and begun[-1].stdout.readline() == "held\n"
        return path

    yield begin
    for each in begun:
        each.communicate()


def join(folder: Path) -> Ticket:
    return Ticket(folder, WaitingJob("mine", "me", 1, 0, time.time()))


OLD = [0.0, 1e-9, 1.0, 1e9, 1.7e9]
HOW = ["", "by a dead parent", "of a process that died"]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("at", OLD)
def test_a_ticket_of_an_old_time_overtakes_nobody(
    folder: Path, plant: Plant, monkeypatch: pytest.MonkeyPatch, at: float, how: str
) -> None:
    monkeypatch.setattr(tickets, "SLOW", -0.05)
    mine = join(folder)
    time.sleep(0.1)
    plant(at, how=how)
    assert mine.before() == 0
    mine.close()


def test_one_of_no_time_is_before_nobody(folder: Path, plant: Plant) -> None:
    plant(0.0)
    mine = join(folder)
    assert mine.before() == 0
    mine.close()


def test_one_of_an_honest_time_is_waited_for(folder: Path, plant: Plant) -> None:
    plant(time.time() - 5)
    mine = join(folder)
    assert mine.before() == 1
    mine.close()


def test_one_of_the_far_future_is_behind_everybody(folder: Path, plant: Plant) -> None:
    plant(99999999999.0)
    mine = join(folder)
    assert mine.before() == 0 and [each.job for each in waiting(folder)] == ["mine", ""]
    mine.close()


@pytest.mark.parametrize("name", ["alice", "root", "", "\u202eecila", "a\u0000b", "x" * 9000])
def test_a_ticket_is_shown_under_the_owner_of_its_file(
    folder: Path, plant: Plant, name: str
) -> None:
    text = WaitingJob("a-job", "USER", 1, 0, 1.0).to_json()
    path = plant(time.time(), json.dumps({**text, "user": name}))
    (shown,) = waiting(folder)
    assert shown.user == pwd.getpwuid(path.stat().st_uid).pw_name
    assert shown.user == ("nobody" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name)


@needs_root
@pytest.mark.parametrize("how", ["a link to nothing", "a folder", "a name of the kernel's"])
def test_who_keeps_a_gpu_from_everybody_is_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    fake = FakeGpus(tmp_path / "fake gpus", count=2)
    monkeypatch.setenv("PATH", fake.path())
    path = lease_file(folder, uuid(1))
    name = kernel_names.take(path) if how.startswith("a name") else None
    if not name:
        squat(path, how)
    first, second = describe(GpusRequest(key="0" * 16, leases=str(folder))).gpus
    assert first.holder is None and second.holder is not None
    assert second.holder.user == ("" if name else pwd.getpwuid(SOMEBODY).pw_name)
    if name:
        name.close()


def test_what_the_kernel_does_not_tell_is_unknown() -> None:
    assert 0 < lock_owners.age(os.getpid()) < processes.uptime()
    assert lock_owners.age(0) == 0.0
    assert lock_owners.LockOwners(Path("/nowhere")).of(os.stat("/")) == 0


# The folder of our ssh's sockets, on a laptop that others use too


@pytest.fixture
def tmp(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A /tmp of the test's own, and a home."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(ssh, "TMP", folder)
    (folder / "home/.cache").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(folder / "home"))
    return folder


def squat(path: Path, how: str) -> None:
    """Lie there first, as another user."""
    if how == "a folder":
        path.mkdir(mode=0o700)
    elif how == "an open folder":
        path.mkdir()
        path.chmod(0o777)
    elif how == "a file":
        path.write_text("")
    elif how == "a link to nothing":
        path.symlink_to("nowhere")
    else:
        path.symlink_to(path.parent / "home")
    os.chown(path, SOMEBODY, SOMEBODY, follow_symlinks=False)


SQUATS = ["a folder", "an open folder", "a file", "a link to nothing", "a link to our home"]


@needs_root
@pytest.mark.parametrize("how", SQUATS)
def test_a_folder_of_sockets_that_another_made_first_is_passed_by(tmp: Path, how: str) -> None:
    name = f"remote-{os.getuid()}"
    squat(tmp / name, how)
    used = ssh.control_folder()
    assert used == tmp / "home/.cache" / name and ssh.control_folder() == used
    assert stat.S_IMODE(used.lstat().st_mode) == 0o700 and used.lstat().st_uid == os.getuid()


@needs_root
def test_so_it_is_where_the_home_has_too_long_a_path(
    tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp / ("x" * 60)))
    name = f"remote-{os.getuid()}"
    for path in (tmp / name, tmp / f"{name}-1"):
        squat(path, "a folder")
    assert ssh.control_folder() == tmp / f"{name}-2"
    for number in range(3, 10):
        squat(tmp / f"{name}-{number}", "a file")
    (tmp / f"{name}-2").rmdir()
    squat(tmp / f"{name}-2", "a folder")
    with pytest.raises(ConfigError, match="no place for ssh's sockets"):
        ssh.control_folder()


@needs_root
def test_a_runtime_folder_in_which_another_was_first_is_passed_by(
    tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp / "run").mkdir()
    squat(tmp / "run" / f"remote-{os.getuid()}", "an open folder")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp / "run"))
    assert ssh.control_folder() == tmp / f"remote-{os.getuid()}"
