"""GPUs that jobs hold, by the locks on their files: nothing has to be written down or tidied.

/proc/locks names the process of each lock, and its command line is that of a worker:
`python agent.zip work KEY JOB` or `work-here ROOT JOB`.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import threading
import time
from pathlib import Path
from typing import Dict, List, Optional, Sequence

from remote.agent.gpus import lock_files
from remote.agent.processes import PROC, user_name
from remote.job.messages.gpus import Gpu, GpuHolder
from remote.job.paths import ID_PATTERN

#: How often the files of a lease or a ticket are touched, in seconds.
FRESH = 3600.0

_NAME = re.compile(r"remote-gpu-([A-Za-z0-9-]+)\.lease\Z")


class Lease:
    """GPUs that are ours until `release`, or until this process ends, however it ends.

    `files` are those whose locks we hold, by their paths.
    """

    def __init__(self, gpus: Sequence[Gpu], files: Dict[Path, io.FileIO]) -> None:
        self.gpus = tuple(gpus)
        self.since = time.time()
        self._files = files
        self._changing = threading.RLock()
        self._released = threading.Event()

    @property
    def visible(self) -> str:
        """The value of CUDA_VISIBLE_DEVICES, or of what the source of these GPUs calls it."""
        return ",".join(gpu.uuid for gpu in self.gpus)

    def release(self) -> None:
        """Let others have the GPUs. A second time does nothing."""
        self._released.set()
        with self._changing:
            for file in self._files.values():
                file.close()

    def stay_fresh(self) -> None:
        """Keep the files fresh until the release."""
        while not self._released.wait(FRESH):
            self.keep_fresh()

    def keep_fresh(self) -> None:
        """Touch the lock files, so that cleaners of /tmp leave them, and heal what they deleted."""
        with self._changing:
            for path, file in list(self._files.items()):
                if self._released.is_set():
                    return
                lock_files.keep_fresh(file)
                if not lock_files.is_at(file, path):
                    # Another may hold a new file of that name already: nothing is to be done then.
                    with contextlib.suppress(lock_files.RefusedError):
                        self._files[path] = lock_files.take(path) or file

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


def lease(folder: Path, gpus: Sequence[Gpu]) -> Optional[Lease]:
    """Lock all these GPUs, or none of them where another holds one; raises RefusedError."""
    files: Dict[Path, io.FileIO] = {}
    with contextlib.ExitStack() as stack:
        for gpu in gpus:
            path = lease_file(folder, gpu.uuid)
            file = lock_files.take(path)
            if file is None:
                return None
            files[path] = stack.enter_context(file)
        stack.pop_all()
    return Lease(gpus, files)


def lease_file(folder: Path, uuid: str) -> Path:
    """The file whose lock is the lease of a GPU."""
    return folder / f"remote-gpu-{uuid}.lease"


def holders(folder: Path) -> Dict[str, GpuHolder]:
    """The holder of each GPU that is leased now, by UUID."""
    owners = _lock_owners()
    by_uuid = {}
    for name in os.listdir(str(folder)):
        match = _NAME.match(name)
        if match:
            with contextlib.suppress(FileNotFoundError, lock_files.RefusedError):
                with lock_files.open_plain(folder / name) as file:
                    if not lock_files.is_free(file):
                        by_uuid[match[1]] = _holder(os.fstat(file.fileno()), owners)
    return by_uuid


def _lock_owners() -> Dict[str, int]:
    """The pid by `major:minor:inode`, and by inode alone: proc(5), /proc/locks.

    The device is not the one that stat tells on some file systems, such as btrfs.
    """
    try:
        lines = (PROC / "locks").read_text().splitlines()
    except OSError:
        return {}
    pids: Dict[str, int] = {}
    for words in (line.split() for line in lines):
        if len(words) >= 6 and words[1] == "FLOCK" and words[3] == "WRITE" and words[4].isdigit():
            pids[words[5]] = int(words[4])
            pids.setdefault(words[5].rpartition(":")[2], int(words[4]))
    return pids


def _holder(file: os.stat_result, owners: Dict[str, int]) -> GpuHolder:
    device = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}"
    pid = owners.get(f"{device}:{file.st_ino}") or owners.get(str(file.st_ino)) or 0
    if not pid:
        return GpuHolder()
    try:
        user = user_name((PROC / str(pid)).stat().st_uid)
        line = (PROC / str(pid) / "cmdline").read_bytes().decode("utf-8", "replace")
    except OSError:
        return GpuHolder(pid)
    return GpuHolder(pid, user, job_of(line.rstrip("\0").split("\0")))


def job_of(words: List[str]) -> str:
    """The job that a worker with this command line serves."""
    worker = len(words) >= 3 and words[-3] in ("work", "work-here")
    return words[-1] if worker and ID_PATTERN.match(words[-1]) else ""
