"""GPUs that jobs hold, by locks: nothing has to be written down or tidied.

A lease is two locks. The one without a file (remote.agent.gpus.kernel_names) holds, whoever cleans
the folder. The one on a file tells who holds it, and earlier versions of the toolkit know no other:
/proc/locks names its process, whose command line is that of a worker, `python agent.zip work KEY JOB`
or `work-here ROOT JOB`.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Dict, List, Optional, Sequence

from remote.agent.gpus import kernel_names, lock_files
from remote.agent.gpus.lock_owners import LockOwners
from remote.agent.processes import PROC, user_name
from remote.job.messages.gpus import Gpu, GpuHolder
from remote.job.paths import ID_PATTERN

if TYPE_CHECKING:
    from socket import socket

#: How often the files of a lease or a ticket are touched, in seconds.
FRESH = 3600.0

#: How often a holder looks whether its files are still there, in seconds.
LOOK = 1.0

#: A card's, or that of a part of it (remote.agent.gpus.shares), which tells how much in percent.
_NAME = re.compile(r"remote-gpu-([A-Za-z0-9-]+)(?:\.part-(\d{1,2})-[0-9a-f]{8})?\.lease\Z")


class Lease:
    """GPUs that are ours until `release`, or until this process ends, however it ends.

    `files` are those whose locks we hold, by their paths, which `names` stand for too.
    """

    look = LOOK

    def __init__(
        self, gpus: Sequence[Gpu], files: Dict[Path, io.FileIO], names: Sequence[socket]
    ) -> None:
        self.gpus = tuple(gpus)
        self.since = time.time()
        self._files = files
        self._names = names
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
            for name in self._names:
                name.close()

    def stay_fresh(self) -> None:
        """Keep the files in their place, and fresh, until the release."""
        while not self._released.wait(self.look):
            self.keep_fresh()

    def keep_fresh(self) -> None:
        """Touch lock files that grow old, so that cleaners leave them, and make those anew that
        somebody deleted."""
        with self._changing:
            for path, file in list(self._files.items()):
                if self._released.is_set():
                    return
                if os.fstat(file.fileno()).st_mtime < time.time() - FRESH:
                    lock_files.keep_fresh(file)
                # Another may hold a new file of that name already: nothing is to be done then.
                with contextlib.suppress(OSError, lock_files.RefusedError):
                    if not lock_files.is_at(file, path):
                        self._files[path] = lock_files.take(path) or file

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


def lease(folder: Path, gpus: Sequence[Gpu]) -> Optional[Lease]:
    """Lock all these GPUs, or none of them where another holds one; raises RefusedError."""
    files: Dict[Path, io.FileIO] = {}
    names: List[socket] = []
    with contextlib.ExitStack() as stack:
        for gpu in gpus:
            path = lease_file(folder, gpu.uuid)
            name = kernel_names.take(path)
            if name is None:
                return None
            names.append(stack.enter_context(name))
            file = lock_files.take(path)
            if file is None:
                return None
            files[path] = stack.enter_context(file)
        stack.pop_all()
    return Lease(gpus, files, names)


def is_leased(folder: Path, uuid: str) -> bool:
    """Whether a job holds a GPU, whoever it is; raises RefusedError."""
    path = lease_file(folder, uuid)
    return lock_files.is_held(path) or kernel_names.is_taken(path)


def lease_file(folder: Path, uuid: str) -> Path:
    """The file whose lock is the lease of a GPU."""
    return folder / f"remote-gpu-{uuid}.lease"


def part_file(folder: Path, uuid: str, amount: float) -> Path:
    """A new name of a file whose lock tells who has so much of a GPU."""
    return folder / f"remote-gpu-{uuid}.part-{amount * 100:.0f}-{os.urandom(4).hex()}.lease"


def holders(folder: Path) -> Dict[str, GpuHolder]:
    """The holder of each GPU that is leased now, by UUID; of one that is shared, one of them."""
    return {uuid: several[0] for uuid, several in all_holders(folder).items()}


def all_holders(folder: Path) -> Dict[str, List[GpuHolder]]:
    """The holders of each GPU that is leased now, by UUID."""
    owners = LockOwners(PROC)
    whole: Dict[str, List[GpuHolder]] = {}
    parts: Dict[str, List[GpuHolder]] = {}
    for name in sorted(os.listdir(str(folder))):
        match = _NAME.match(name)
        if match:
            with contextlib.suppress(FileNotFoundError, lock_files.RefusedError):
                with lock_files.open_plain(folder / name) as file:
                    if lock_files.is_free(file):
                        if match[2]:
                            lock_files.delete(folder / name)
                        continue
                    holder = _holder(os.fstat(file.fileno()), owners)
                    if match[2]:
                        holder = holder.replace(share=int(match[2]) / 100)
                    (parts if match[2] else whole).setdefault(match[1], []).append(holder)
    return {uuid: _named(several, parts.get(uuid, [])) for uuid, several in whole.items()}


def _named(whole: List[GpuHolder], parts: List[GpuHolder]) -> List[GpuHolder]:
    """Those who share a card, of which the one that began may be gone; not who only pretends to."""
    user = whole[0].user
    return [part for part in parts if not user or part.user == user] or whole


def _holder(file: os.stat_result, owners: LockOwners) -> GpuHolder:
    pid = owners.of(file)
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
