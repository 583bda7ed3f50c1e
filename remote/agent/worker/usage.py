"""What a tree of processes, and the GPUs that it runs on, use while the body runs."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from typing import IO, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Set

from remote.agent import processes
from remote.agent.gpus import sources
from remote.agent.gpus.sample import GpuSample
from remote.agent.gpus.sources import GpuSource
from remote.agent.processes import PROC, descendants

#: Seconds between two looks. They grow where a look takes long (many processes, much memory).
LOOK = 1.0
SHARE = 0.02


class TreeUse(NamedTuple):
    """What all processes of a tree use: memory now, and the others since they began, with those of
    their children that have ended. Bytes and seconds."""

    memory: int = 0
    cpu: float = 0.0
    read: int = 0
    written: int = 0


class ProcessUsage:
    """Looks at everything below this process once a second, in a thread of its own, and hands on
    what it saw.

    `peak` is in bytes. Memory that processes share (a fork of a data loader) counts once. Of what this
    process has adopted, the dead are buried: a system has only so many places. Its own children, which
    are `awaited`, are not.
    """

    def __init__(self, hand_on: Callable[[TreeUse], None]) -> None:
        self.peak = 0
        self.awaited: Set[int] = set()
        self._dead: Set[int] = set()
        self._hand_on = hand_on
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> ProcessUsage:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join(timeout=2)

    def _look(self) -> None:
        while True:
            start = time.monotonic()
            use = tree_use(os.getpid())
            self.peak = max(self.peak, use.memory)
            # It may wait for a store, which is no look that takes long.
            pause = max(LOOK, (time.monotonic() - start) / SHARE)
            self._hand_on(use)
            self._bury()
            if self._done.wait(pause):
                return

    def _bury(self) -> None:
        # Not at the first look: one that was just born is not `awaited` yet.
        dead = processes.dead_children() - self.awaited
        processes.bury(dead & self._dead)
        self._dead = dead


def tree_use(pid: int) -> TreeUse:
    """What all processes below `pid` use; 0 where the system doesn't tell."""
    uses = [_use(each) for each in _below(pid)]
    return TreeUse(*map(sum, zip(*uses))) if uses else TreeUse()


def _use(pid: int) -> TreeUse:
    read, written = _disk(pid)
    return TreeUse(_memory(pid), _cpu(pid), read, written)


def _below(pid: int) -> Iterator[int]:
    """All descendants. The kernel's own list of children spares reading all of /proc.

    A child between vfork and exec still lives in its parent's memory, which is counted already.
    """
    tasks = PROC / str(pid) / "task"
    try:
        listed = [(task / "children").read_text() for task in tasks.iterdir()]
    except OSError:
        if tasks.is_dir():
            yield from descendants(pid)
        return
    for child in " ".join(listed).split():
        if _statm(int(child)) != _statm(pid):
            yield int(child)
            yield from _below(int(child))


def _memory(pid: int) -> int:
    """Proportional set size (proc(5)): what several processes share is divided among them.

    Where the system doesn't tell that, all that is resident.
    """
    try:
        text = (PROC / str(pid) / "smaps_rollup").read_text()
    except OSError:
        pages = _statm(pid).split()
        return int(pages[1]) * os.sysconf("SC_PAGE_SIZE") if pages else 0
    match = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    return int(match[1]) * 1024 if match else 0


def _cpu(pid: int) -> float:
    """The times of utime, stime, cutime and cstime (proc(5)), in seconds."""
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(") ")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        return 0.0


def _disk(pid: int) -> List[int]:
    """The bytes that it had read from, and written to, a disk."""
    try:
        text = (PROC / str(pid) / "io").read_text()
    except OSError:
        return [0, 0]
    amounts = dict(re.findall(r"^(\w+): (\d+)$", text, re.MULTILINE))
    return [int(amounts.get(name, 0)) for name in ("read_bytes", "write_bytes")]


def _statm(pid: int) -> str:
    """Seven sizes in pages (proc(5)); two processes that share all their memory show the same."""
    try:
        return (PROC / str(pid) / "statm").read_text()
    except OSError:
        return ""


class GpuUsage:
    """What the given cards do, as one program tells that prints all the time and a thread reads.

    `peak` is the most memory in use, in MiB, on the fullest of them. If this process is killed, the
    next print ends the program (SIGPIPE). A job never fails because it does: nothing is known then.
    """

    def __init__(self, uuids: Iterable[str]) -> None:
        self.uuids = tuple(uuids)
        self.peak = 0
        self._samples: List[GpuSample] = []
        self._last: Dict[str, GpuSample] = {}
        self._busy = self._looked = time.monotonic()
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._thread: Optional[threading.Thread] = None

    def __enter__(self) -> GpuUsage:
        source = sources.current() if self.uuids else None
        if source is not None:
            # One that doesn't start is one that fails.
            with contextlib.suppress(OSError):
                self._process = subprocess.Popen(
                    source.watch_command(self.uuids),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    # With all that it starts itself, it is ended as one.
                    start_new_session=True,
                )
                args = (source, self._process.stdout)
                self._thread = threading.Thread(target=self._read, args=args, daemon=True)
                self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._process is None:
            return
        self._send(signal.SIGTERM)
        if self._thread:
            self._thread.join(timeout=2)
        self._send(signal.SIGKILL)
        # One that hangs in the driver can't be killed, and nobody waits for it.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=1)

    def _send(self, number: int) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def _read(self, source: GpuSource, output: IO[bytes]) -> None:
        with output:
            for sample in source.samples(line.decode("utf-8", "replace") for line in output):
                if sample.uuid in self.uuids:
                    self.note(sample)

    def note(self, sample: GpuSample) -> None:
        """Take a sample of one of the cards in."""
        self.peak = max(self.peak, int(sample.memory_used or 0))
        self._samples.append(sample)
        before, self._last[sample.uuid] = self._last.get(sample.uuid), sample
        self._looked = time.monotonic()
        # A load that isn't told is no sign that there is none.
        if before is None or sample.load != 0 or sample.memory_used != before.memory_used:
            self._busy = self._looked

    @property
    def pids(self) -> Set[int]:
        """The program's, where it runs."""
        return {self._process.pid} if self._process else set()

    @property
    def idle(self) -> float:
        """For how many seconds none of the cards has computed anything, nor its memory changed, as
        far as somebody looked."""
        return self._looked - self._busy

    def means(self) -> Dict[str, GpuSample]:
        """What each card did since this was asked last, on the average, by its UUID."""
        samples, self._samples = self._samples, []
        by_card: Dict[str, List[GpuSample]] = {}
        for sample in samples:
            by_card.setdefault(sample.uuid, []).append(sample)
        return {uuid: _mean(several) for uuid, several in by_card.items()}


def _mean(samples: List[GpuSample]) -> GpuSample:
    columns = [[value for value in column if value is not None] for column in zip(*samples)][1:]
    means = [sum(column) / len(column) if column else None for column in columns]
    return GpuSample(samples[0].uuid, *means)
