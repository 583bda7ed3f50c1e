"""A server whose memory has a limit that its kernel enforces: who asks for more is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scripts.sshd import PrivateSshd, running
from tests.faults.kills import World

#: Where controllers of memory are, and the limit's file of each: cgroups(7), version 1 and 2.
HIERARCHIES = {
    "/sys/fs/cgroup/memory": ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"),
    "/sys/fs/cgroup": ("memory.max", "memory.swap.max"),
}
MEGABYTES = 500

#: Takes all there is, bit by bit, and would end well.
GREEDY = "python3 -c 'held = [bytearray(10_000_000) for _ in range(200)]; print(len(held))'"


@contextmanager
def limited(pid: int) -> Iterator[None]:
    """Put a process, and what it starts from now on, into a group of its own."""
    for hierarchy, (limit, swap) in HIERARCHIES.items():
        group = Path(hierarchy, f"remote-test-{pid}")
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            if not (group / limit).exists():
                continue
            (group / limit).write_text(str(MEGABYTES << 20))
            if (group / swap).exists():
                (group / swap).write_text("0" if swap.endswith("max") else str(MEGABYTES << 20))
            (group / "cgroup.procs").write_text(str(pid))
            yield
            for member in (group / "cgroup.procs").read_text().split():
                (group.parent / "cgroup.procs").write_text(member)
            return
        finally:
            group.rmdir()
    pytest.skip("no group with a limit of memory can be made here: root and a cgroup are needed")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    server = PrivateSshd(tmp_path / "sshd", tmp_path / "home", path=path)
    socket = f"remote-test-{os.getpid()}-memory"
    try:
        with running(server), limited(server.pid):
            yield World(tmp_path / "world", server, socket)
    finally:
        subprocess.run(["tmux", "-L", socket, "kill-server"], capture_output=True)


def test_a_job_that_takes_all_memory_ends_alone(world: World) -> None:
    greedy = world.run("remote-run", "--shell", GREEDY).job
    world.run("remote-wait", greedy, code=137)
    after = world.run("remote-run", "--shell", "echo well").job
    world.run("remote-wait", after)
    answer = json.loads(world.run("remote-ps", "--json").text)
    listed = {job["id"]: job for job in answer["jobs"]}
    assert listed[greedy]["cause"] == "out of memory: the server's kernel killed it"
    assert (listed[after]["state"], listed[after]["exit_code"]) == ("finished", 0)
    assert "2 new runs" in world.run("sync-pull").text
