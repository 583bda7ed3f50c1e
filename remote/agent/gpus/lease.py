"""GPUs that one job holds, by the locks on their files (see remote.agent.gpus.holders)."""

from __future__ import annotations

import io
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Dict, Optional, Sequence, Tuple

from remote.agent.gpus import lock_files
from remote.agent.gpus.holders import lease_file
from remote.agent.gpus.sources.base import Gpu

#: How often the files of a lease or a ticket are touched, in seconds.
FRESH = 3600.0


class Lease:
    """GPUs that are ours until `release`, or until this process ends, however it ends."""

    def __init__(self, gpus: Sequence[Gpu], files: Dict[Path, io.FileIO], stack: ExitStack):
        self.gpus: Tuple[Gpu, ...] = tuple(gpus)
        self.since = time.time()
        self._files = files
        self._stack = stack
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
            self._stack.close()

    def keep_fresh(self) -> None:
        """Touch the lock files, so that cleaners of /tmp leave them, and heal what they deleted.

        A thread does this now and then as long as the lease lives.
        """
        with self._changing:
            for path, file in list(self._files.items()):
                if self._released.is_set():
                    return
                lock_files.keep_fresh(file)
                if not lock_files.is_at(file, path):
                    self._lock_again(path)

    def _lock_again(self, path: Path) -> None:
        """Another may hold a new file of that name already; then there is nothing to be done."""
        try:
            file = lock_files.take(path)
        except lock_files.RefusedError:
            return
        if file is not None:
            self._files[path] = self._stack.enter_context(file)

    def watch_over(self) -> None:
        """Keep the files fresh from now on."""
        threading.Thread(target=self._stay_fresh, daemon=True).start()

    def _stay_fresh(self) -> None:
        while not self._released.wait(FRESH):
            self.keep_fresh()

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


def lease(folder: Path, gpus: Sequence[Gpu]) -> Optional[Lease]:
    """Lock all these GPUs, or none of them where another holds one; raises RefusedError."""
    files: Dict[Path, io.FileIO] = {}
    with ExitStack() as stack:
        for gpu in gpus:
            path = lease_file(folder, gpu.uuid)
            file = lock_files.take(path)
            if file is None:
                return None
            files[path] = stack.enter_context(file)
        return Lease(gpus, files, stack.pop_all())
