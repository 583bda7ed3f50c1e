"""Which processes live: real children, zombies, stubborn ones, and a pid that was used again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from remote.agent import processes
from remote.job.status import ProcessId
from tests.conftest import ROOT
from tests.waiting import until

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a process in a session of its own, all of which ends with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(*argv: str) -> subprocess.Popen[bytes]:
        started.append(
            subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True, bufsize=0)
        )
        return started[-1]

    yield begin
    for each in started:
        try:
            os.killpg(each.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        each.communicate()


def test_a_living_child_is_alive(start: Start) -> None:
    child = start("sleep", "60")
    seen = processes.identity(child.pid)
    assert seen.pid == child.pid and processes.alive(seen)


def test_we_are_alive() -> None:
    assert processes.alive(processes.identity(os.getpid()))


def test_the_dead_are_not_alive(start: Start) -> None:
    child = start("sleep", "60")
    seen = processes.identity(child.pid)
    child.kill()
    child.wait()
    assert not processes.alive(seen) and processes.started(child.pid) is None


def test_a_zombie_is_dead(start: Start) -> None:
    child = start("sleep", "60")
    seen = processes.identity(child.pid)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not processes.alive(seen)


def test_a_pid_that_was_used_again_fools_nobody(start: Start) -> None:
    seen = processes.identity(start("sleep", "60").pid)
    assert not processes.alive(seen.replace(start=str(int(seen.start or 0) - 1)))


def test_another_boot_is_another_life(start: Start) -> None:
    seen = processes.identity(start("sleep", "60").pid)
    assert not processes.alive(seen.replace(boot="another"))


@pytest.mark.parametrize("seen", [None, ProcessId(pid=1, start=None, boot=processes.boot())])
def test_what_was_never_seen_alive_is_not(seen: ProcessId | None) -> None:
    assert not processes.alive(seen)


def test_an_identity_survives_json(start: Start) -> None:
    seen = processes.identity(start("sleep", "60").pid)
    assert processes.alive(ProcessId.from_json(json.loads(json.dumps(seen.to_json())), "worker"))


def test_two_children_are_told_apart(start: Start) -> None:
    first, second = processes.identity(start("sleep", "60").pid), start("sleep", "60")
    assert not processes.alive(first.replace(pid=2**22 + 1))
    assert processes.identity(second.pid) != first


def test_a_name_with_brackets_and_blanks_is_no_obstacle(start: Start, tmp_path: Path) -> None:
    """The name in /proc/<pid>/stat stands in brackets and may hold any."""
    odd = tmp_path / "a) Z 1 (b"
    odd.symlink_to("/bin/sleep")
    child = start(str(odd), "60")
    until(lambda: b"a) Z" in Path(f"/proc/{child.pid}/stat").read_bytes())
    assert processes.alive(processes.identity(child.pid))
    assert child.pid in processes.descendants(os.getpid())


def test_children_and_their_children_are_descendants(start: Start) -> None:
    child = start("sh", "-c", "sh -c 'sleep 60 & echo $!; wait' & wait")
    assert child.stdout
    grandchild = int(child.stdout.readline())
    found = processes.descendants(child.pid)
    assert grandchild in found and child.pid not in found and len(found) == 2
    assert processes.descendants(grandchild) == []


def test_the_dead_are_no_descendants(start: Start) -> None:
    child = start("sleep", "60")
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert child.pid not in processes.descendants(os.getpid())


def test_the_processes_of_a_job_are_known_by_its_variable_its_log_and_its_session(
    start: Start, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    script = f"""
    REMOTE_JOB_ID=job-1 setsid sh -c 'sleep 60 & echo $!; wait' &
    env -i setsid sleep 60 2>> '{log}' & echo $!
    sleep 60 & echo $!; wait
    """
    leader = start("sh", "-c", script)
    assert leader.stdout
    marked = {int(leader.stdout.readline()) for _ in range(3)}
    known = processes.identity(leader.pid)
    everything = processes.of_job("job-1", log, known)
    assert {leader.pid, *marked} <= set(everything)
    # Of those that another process has left its number to, what proves it is enough.
    reused = processes.of_job("job-1", log, known.replace(start="1"))
    assert leader.pid not in reused and len(marked & set(reused)) == 2
    assert processes.of_job("job-2", tmp_path / "no log", None) == []
    for pid in everything:
        os.kill(pid, signal.SIGKILL)


def test_a_signal_to_the_dead_is_no_error(start: Start) -> None:
    child = start("true")
    child.wait()
    processes.send([child.pid], signal.SIGTERM)


END = f"""
import os, signal, subprocess, sys, time
sys.path.insert(0, {str(ROOT)!r})
from remote.agent import processes as process
process.adopt_orphans()
child = subprocess.Popen(["sh", "-c", sys.argv[1]], stdout=subprocess.PIPE, bufsize=0)
pids = [int(child.stdout.readline()) for _ in range(int(sys.argv[2]))]
if len(sys.argv) > 4:
    child.wait()
    time.sleep(0.2)
sent, send = [], process.send
def noted(pids, number):
    if pids and number not in sent:
        sent.append(number)
    send(pids, number)
process.send = noted
process.end_descendants(os.getpid(), patience=float(sys.argv[3]))
while any(map(process.started, pids)):
    time.sleep(0.01)
print(*[signal.Signals(number).name for number in sent])
"""


def ended(script: str, count: int, *words: str, patience: int = 60) -> list[str]:
    """The signals that it took until none of the script's processes was left."""
    argv = [sys.executable, "-c", END, script, str(count), str(patience), *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_those_that_listen_are_asked() -> None:
    assert ended("sleep 60 & echo $!; wait", 1) == ["SIGTERM"]


def test_a_stubborn_one_is_killed() -> None:
    script = "trap '' TERM; echo $$; while :; do sleep 1; done"
    assert ended(script, 1, patience=1) == ["SIGTERM", "SIGKILL"]


def test_a_stubborn_grandchild_is_killed() -> None:
    inner = 'trap "" TERM; echo $$; while :; do sleep 1; done'
    assert ended(f"sh -c '{inner}' & wait", 1, patience=1) == ["SIGTERM", "SIGKILL"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="orphans are adopted on Linux")
def test_an_orphan_is_ended_too() -> None:
    """As nohup, setsid or a daemon leaves it: its parent is gone before we look."""
    assert ended("setsid sleep 60 & echo $!", 1, "wait for the parent's end") == ["SIGTERM"]


def test_without_proc_ps_tells_the_same(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS."""
    if not shutil.which("ps"):
        pytest.skip("ps is not installed")
    monkeypatch.setattr(processes, "PROC", Path("/no/proc"))
    child = start("sh", "-c", "sleep 60 & echo $!; wait")
    assert child.stdout
    grandchild = int(child.stdout.readline())
    seen = processes.identity(child.pid)
    assert processes.alive(seen) and seen.start
    assert processes.descendants(child.pid) == [grandchild]
    os.killpg(child.pid, signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not processes.alive(seen)
    child.wait()
    assert not processes.alive(seen)
