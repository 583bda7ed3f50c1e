"""Jobs that want GPUs, and strangers who lay traps in the folder of leases."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from remote.agent.gpus.lease import Lease
from remote.agent.gpus.line import QueuedLease
from remote.agent.gpus.queue import JobLease
from remote.agent.gpus.tickets import Ticket
from remote.job.spec import Job

Start = Callable[..., "subprocess.Popen[str]"]


def job(folder: Path, **asked: Any) -> Job:
    return Job(
        kind="command", source="", name="job", id="job", user="me", leases=str(folder), **asked
    )


def take(folder: Path, count: float = 1, *, at: float = 1.0, memory: int = 0) -> JobLease:
    """A place in the queue; a count below 1 is a part of a card."""
    asked = {"gpus": 1, "gpu_share": count} if count < 1 else {"gpus": count}
    entry = JobLease(job(folder, **asked, gpu_memory=memory, submitted=at))
    entry.join()
    return entry


def get(folder: Path, count: float = 1, *, memory: int = 0) -> Lease:
    """A lease that must be there at once."""

    def refuse(reason: str) -> None:
        raise AssertionError(reason)

    return lease_of(take(folder, count, memory=memory), refuse)


def lease_of(entry: QueuedLease, say: Callable[[str], object]) -> Lease:
    lease = entry.leased(say)
    assert isinstance(lease, Lease)
    return lease


def reason(folder: Path, count: float = 1, *, at: float = 1.0, memory: int = 0) -> str:
    """Why there is no lease."""
    return refusal(take(folder, count, at=at, memory=memory))


class Watched(JobLease):
    """Calls `look` before each of its looks."""

    look: Callable[[], object]

    def attempt(self, ticket: Ticket) -> Lease | str:
        self.look()
        return super().attempt(ticket)


def watch(folder: Path, count: int, look: Callable[[], object]) -> Watched:
    entry = Watched(job(folder, gpus=count, submitted=1.0))
    entry.look = look
    entry.join()
    return entry


class Heard(Exception):
    """Somebody heard a reason, and waits no more."""


def refusal(entry: QueuedLease) -> str:
    def stop(reason: str) -> None:
        raise Heard(reason)

    with pytest.raises(Heard) as heard:
        lease_of(entry, stop).release()
    return str(heard.value)


def files(folder: Path, ending: str) -> list[str]:
    return sorted(name for name in os.listdir(folder) if name.endswith(ending))


#: Takes a ticket, waits, says what it got, and holds it until its input ends.
HOLDER = """if True:
    import sys
    from remote.agent.gpus.queue import JobLease
    from remote.job.spec import Job
    folder, name, submitted, count = sys.argv[1:5]
    spec = {"kind": "command", "source": "", "name": "job", "user": "me", "leases": folder}
    asked = {"gpus": max(1, int(float(count))), "gpu_share": min(1.0, float(count))}
    entry = JobLease(Job(**spec, id=name, **asked, submitted=float(submitted)))
    try:
        entry.join()
        print("in line", flush=True)
        lease = entry.leased(lambda reason: print(reason, flush=True))
    finally:
        entry.leave()
    print("got", lease.visible, flush=True)
    sys.stdin.read()
    lease.release()
"""


def hold(start: Start, folder: Path, job: str = "j", at: float = 1.0, count: float = 1) -> Any:
    """A process that got its GPUs."""
    holder = start(HOLDER, folder, job, at, count, stdin=subprocess.PIPE)
    for line in holder.stdout or ():
        if line.startswith("got"):
            return holder
    raise AssertionError("the holder got nothing")


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
