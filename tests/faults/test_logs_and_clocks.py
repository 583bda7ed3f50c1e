"""Logs without line ends, clients that are gone, and clocks that were set back."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from remote.agent import processes
from remote.job.paths import JobPaths
from remote.job.status import FINISHED, RUNNING, JobStatus
from scripts.sshd import PrivateSshd
from tests.agent.job_folder import add
from tests.conftest import INV, ProjectFolder
from tests.waiting import until

pytestmark = pytest.mark.timeout(300)

#: A job that needs no package.
LOCK = "# nothing\n"


@pytest.fixture
def job(project: ProjectFolder, target_root: Path) -> JobPaths:
    """A job that goes on, as far as anybody can see."""
    project.inv("sync-push")
    status = JobStatus(RUNNING, worker=processes.identity(os.getpid()))
    paths = add(target_root, "20260101-090000-train-aaaa", **vars(status))
    paths.live.parent.mkdir(exist_ok=True)
    paths.live.touch()
    return paths


def agents(sshd: PrivateSshd) -> list[int]:
    """The agents that serve somebody who is, or was, logged in."""
    pids = processes.descendants(sshd.pid)
    return [pid for pid in pids if b"/agent-" in command_line(pid)]


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_the_tail_of_a_progress_bar_is_what_a_terminal_shows(
    project: ProjectFolder, job: JobPaths
) -> None:
    JobStatus(FINISHED).to_file(job.status)
    bar = b"".join(b"\r%3d%%|%s|" % (step % 101, b"#" * 70) for step in range(1010))
    # The length at which it took a minute for a third of it.
    job.log.write_bytes(b"begun\nepoch 1\n" + bar * 1500 + b"\n[remote] finished\n")
    said = project.inv("remote-logs", "--tail", "3", "last")
    assert said.out == f"epoch 1\n100%|{'#' * 70}|\n[remote] finished\n", said.out[:200]


def test_agents_end_when_nobody_reads_what_they_say(
    project: ProjectFolder, sshd: PrivateSshd, job: JobPaths
) -> None:
    job.log.write_text("begun\n")
    clients = [
        subprocess.Popen(
            [str(INV), "remote-logs", "--follow", "last"],
            cwd=project.root,
            env={**os.environ, **project.env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        for _ in range(2)
    ]
    for client in clients:
        assert client.stdout and client.stdout.readline() == b"begun\n"
    assert until(lambda: agents(sshd), lambda pids: len(pids) >= 2)
    # One is killed with all that it started, as by a closed terminal; of the other, ssh lives on.
    os.killpg(clients[0].pid, signal.SIGKILL)
    clients[1].kill()
    for client in clients:
        client.wait()
    until(lambda: agents(sshd), lambda pids: not pids)


def test_the_last_job_is_the_one_submitted_last_whatever_the_clock_says(
    project: ProjectFolder, target_root: Path
) -> None:
    """As after the clock was set back by two hours."""
    (project.root / "requirements.lock").write_text(LOCK)
    project.inv("sync-push")
    ahead = time.strftime("%Y%m%d-%H%M%S", time.localtime(time.time() + 7200))
    old = add(target_root, f"{ahead}-train-aaaa", state=FINISHED)
    old.log.write_text("the old one\n")
    for number in range(2):
        project.inv("remote-run", "--follow", "--no-record", "--", "echo", f"number {number}")
        assert f"number {number}" in project.inv("remote-logs", "last").out
    listed = project.inv("remote-ps").out
    assert listed.index("aaaa") < listed.index("echo"), listed
