"""The peak memory of a tree of processes, and of the GPUs that it runs on, while the body runs."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import threading
import time
from typing import IO, Iterable, Iterator, Optional

from remote.agent.gpus import sources
from remote.agent.gpus.sources import GpuSource
from remote.agent.processes import PROC, descendants

#: Seconds between two looks. They grow where a look takes long (many processes, much memory).
LOOK = 1.0
SHARE = 0.02


class PeakMemory:
    """Looks at everything below this process once a second, in a thread of its own.

    `peak` is in bytes. Memory that processes share (a fork of a data loader) counts once.
    """

    def __init__(self) -> None:
        self.peak = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join(timeout=2)

    def _look(self) -> None:
        while True:
            start = time.monotonic()
            self.peak = max(self.peak, tree_memory(os.getpid()))
            if self._done.wait(max(LOOK, (time.monotonic() - start) / SHARE)):
                return


def tree_memory(pid: int) -> int:
    """The memory of all processes below `pid` now, in bytes; 0 where the system doesn't tell."""
    return sum(_memory(each) for each in _below(pid))


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


def _statm(pid: int) -> str:
    """Seven sizes in pages (proc(5)); two processes that share all their memory show the same."""
    try:
        return (PROC / str(pid) / "statm").read_text()
    except OSError:
        return ""


class PeakGpuMemory:
    """Notes the most memory in use, in MiB, on the fullest of the given cards.

    One program prints all the time and a thread reads it. If this process is killed, the next
    print ends the program (SIGPIPE). A job never fails because it does: its peak is 0 then.
    """

    def __init__(self, uuids: Iterable[str]) -> None:
        self.uuids = frozenset(uuids)
        self.peak = 0
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._thread: Optional[threading.Thread] = None

    def __enter__(self) -> PeakGpuMemory:
        source = sources.current() if self.uuids else None
        if source is not None:
            # One that doesn't start is one that fails.
            with contextlib.suppress(OSError):
                self._process = subprocess.Popen(
                    source.memory_command(),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                )
                args = (source, self._process.stdout)
                self._thread = threading.Thread(target=self._read, args=args, daemon=True)
                self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._process is None:
            return
        self._process.terminate()
        if self._thread:
            self._thread.join(timeout=2)
        self._process.kill()
        # One that hangs in the driver can't be killed, and nobody waits for it.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=1)

    def _read(self, source: GpuSource, lines: IO[bytes]) -> None:
        with lines:
            for line in lines:
                uuid, used = source.memory_use(line.decode("utf-8", "replace")) or ("", 0)
                if uuid in self.uuids:
                    self.peak = max(self.peak, used)
