"""Jobs that want GPUs, and strangers who lay traps in the folder of leases."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from remote.agent.gpus.lease import Lease
from remote.agent.gpus.queue import QueueEntry
from remote.job.messages.gpus import WaitingJob

Start = Callable[..., "subprocess.Popen[str]"]


def take(folder: Path, count: int = 1, *, at: float = 1.0, memory: int = 0) -> QueueEntry:
    return QueueEntry(folder, WaitingJob("job", "me", count, memory, at))


def get(folder: Path, count: int = 1, *, memory: int = 0) -> Lease:
    """A lease that must be there at once."""

    def refuse(reason: str) -> None:
        raise AssertionError(reason)

    return take(folder, count, memory=memory).wait(refuse)


def reason(folder: Path, count: int = 1, *, at: float = 1.0, memory: int = 0) -> str:
    """Why there is no lease."""
    return refusal(take(folder, count, at=at, memory=memory))


class Watched(QueueEntry):
    """Calls `look` before each of its looks."""

    look: Callable[[], object]

    def _attempt(self) -> Lease | str:
        self.look()
        return super()._attempt()


def watch(folder: Path, count: int, look: Callable[[], object]) -> Watched:
    entry = Watched(folder, WaitingJob("job", "me", count, 0, 1.0))
    entry.look = look
    return entry


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
    from remote.job.messages.gpus import WaitingJob
    folder, job, submitted, count = sys.argv[1:5]
    with QueueEntry(
        Path(folder), WaitingJob(job, "me", int(count), 0, float(submitted))
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
