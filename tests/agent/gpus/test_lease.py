"""Leases: locks on files that last as long as who holds them, whatever lies in their way, and tell who does."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from remote.agent import processes
from remote.agent.gpus import lease as leases
from remote.agent.gpus import sources
from remote.agent.gpus.lease import holders, lease_file
from remote.agent.gpus.tickets import waiting
from remote.job.messages.gpus import GpuHolder
from tests.agent.gpus.jobs import (
    HOLDER,
    PLANTED,
    Start,
    files,
    get,
    hold,
    reason,
    take,
)
from tests.conftest import ROOT
from tests.fakegpu import FakeGpus, uuid
from tests.waiting import until


def test_no_half_lease_stays(fake: FakeGpus, folder: Path) -> None:
    cards = sources.gpus()
    with get(folder, 2):
        assert leases.lease(folder, cards[1:]) is None
        assert set(holders(folder)) == {uuid(0), uuid(1)}


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


def test_a_lease_file_serves_everybody_whatever_the_umask(fake: FakeGpus, folder: Path) -> None:
    before = os.umask(0o077)
    try:
        with get(folder):
            path = lease_file(folder, uuid(0))
            assert stat.S_IMODE(path.stat().st_mode) == 0o644
            ticket = take(folder)
            (name,) = files(folder, ".ticket")
            assert stat.S_IMODE((folder / name).stat().st_mode) == 0o644
            ticket.leave()
    finally:
        os.umask(before)


def test_a_lease_file_stays_and_is_used_again(fake: FakeGpus, folder: Path) -> None:
    get(folder).release()
    path = lease_file(folder, uuid(0))
    before = path.stat().st_ino
    with get(folder):
        assert path.stat().st_ino == before


def test_a_lease_outlives_the_deletion_of_its_file(fake: FakeGpus, folder: Path) -> None:
    with get(folder):
        path = lease_file(folder, uuid(0))
        path.unlink()
        # Before its holder has seen that.
        with get(folder) as other:
            assert other.visible == uuid(1)
        until(lambda: uuid(0) in holders(folder))
    assert not holders(folder)


def test_a_lease_is_kept_fresh_by_itself(
    fake: FakeGpus, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = lease_file(folder, uuid(0))
    with get(folder):
        os.utime(path, (1, 1))
        until(lambda: path.stat().st_mtime > 1)


def test_children_inherit_no_lock(fake: FakeGpus, folder: Path, start: Start) -> None:
    """A child that outlives its killed worker keeps neither GPUs nor a place in the line."""
    code = HOLDER.replace(
        "sys.stdin.read()",
        """
    import subprocess
    second = JobLease(Job(**spec, id="x", gpus=1, submitted=0.5))
    second.join()
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


def test_a_holder_is_told_from_its_lock(fake: FakeGpus, folder: Path, start: Start) -> None:
    holder = hold(start, folder)
    user = processes.user_name(os.getuid())
    assert holders(folder) == {uuid(0): GpuHolder(holder.pid, user, "")}
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
    assert leases.job_of(["python", "agent.zip", "work", "k", "j\x1b[2J"]) == ""
    assert leases.job_of(["work", "k", "j"]) == "j"
    assert leases.job_of(["k", "j"]) == "" and leases.job_of([]) == ""


def test_where_the_system_tells_nothing_the_holder_is_unknown(
    fake: FakeGpus, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "PROC", tmp_path / "no proc")
    with get(folder):
        assert holders(folder) == {uuid(0): GpuHolder()}
        assert "GPU 0: another job" in reason(folder, 4)
