"""Who holds the lock on a file, and since when that process lives: what the kernel tells, and nobody
can forge."""

from __future__ import annotations

import contextlib
import functools
import os
from pathlib import Path
from typing import Dict

from remote.agent.processes import started, uptime


class LockOwners:
    """The processes that held locks when one of them was asked for first: proc(5), /proc/locks."""

    def __init__(self, proc: Path) -> None:
        self._locks = proc / "locks"

    @functools.cached_property
    def _pids(self) -> Dict[str, int]:
        return _read(self._locks)

    def of(self, file: os.stat_result) -> int:
        """The pid of whoever holds the lock on a file; 0 where the system doesn't tell."""
        device = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}"
        # The device is not the one that stat tells on some file systems, such as btrfs.
        return self._pids.get(f"{device}:{file.st_ino}") or self._pids.get(str(file.st_ino)) or 0


def _read(locks: Path) -> Dict[str, int]:
    """The pid by `major:minor:inode`, and by inode alone."""
    try:
        lines = locks.read_text().splitlines()
    except OSError:
        return {}
    pids: Dict[str, int] = {}
    for words in (line.split() for line in lines):
        if len(words) >= 6 and words[1] == "FLOCK" and words[3] == "WRITE" and words[4].isdigit():
            pids[words[5]] = int(words[4])
            pids.setdefault(words[5].rpartition(":")[2], int(words[4]))
    return pids


def age(pid: int) -> float:
    """For how many seconds a process has lived; 0 where the system doesn't tell."""
    with contextlib.suppress(OSError, ValueError):
        return uptime() - int(started(pid) or "") / os.sysconf("SC_CLK_TCK")
    return 0.0
