"""Pushes whose laptop is gone: their rsync here waits, perhaps for hours, and holds the tree's lock."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Iterator, Tuple

from remote.agent import processes
from remote.agent.target_dir import root_of
from remote.job.messages.target import TreeAnswer, TreeRequest
from remote.job.tree import LOCK, read_stamp

#: Seconds without a byte after which a push is dead: its ssh has given up after half of that.
QUIET = 90.0

LOOK = 1.0


def end_dead(request: TreeRequest) -> TreeAnswer:
    """End the push that holds the lock, where it is dead; else come back as soon as it gets on.

    One of the asking copy of the project is dead: that has the lock of its pushes itself.
    """
    root = root_of(request.key)
    stamp = read_stamp(root)
    is_own = stamp is not None and stamp.id.startswith(request.copy)
    deadline = time.monotonic() + (0 if is_own else QUIET)
    transferred = dict(_transferred(root))
    while time.monotonic() < deadline:
        time.sleep(LOOK)
        if dict(_transferred(root)) != transferred or not transferred:
            return TreeAnswer(ended=False)
    for pid in transferred:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGTERM)
    return TreeAnswer(ended=bool(transferred))


def _transferred(root: Path) -> Iterator[Tuple[int, bytes]]:
    """The processes of rsync that hold the lock, and what they have read and written."""
    lock = os.stat(str(root / LOCK))
    for proc in processes.PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (proc / "comm").read_bytes() != b"rsync\n":
                continue
            if any(os.path.samestat(os.stat(str(fd)), lock) for fd in (proc / "fd").iterdir()):
                yield int(proc.name), (proc / "io").read_bytes()
