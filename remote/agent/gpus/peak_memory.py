"""The peak memory of GPUs while something runs on them."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from typing import IO, Iterable, Optional

from remote.agent.gpus import sources
from remote.agent.gpus.sources.base import GpuSource


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

    def start(self) -> None:
        """Begin to look."""
        source = sources.current()
        if source is None:
            return
        try:
            self._process = subprocess.Popen(
                source.memory_command(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        except OSError:
            return
        assert self._process.stdout is not None
        args = [source, self._process.stdout]
        self._thread = threading.Thread(target=self._read, args=args, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """Look no more; the peak comes back, 0 where nothing could be seen."""
        if self._process is None:
            return self.peak
        self._process.terminate()
        if self._thread:
            self._thread.join(timeout=2)
        self._process.kill()
        # One that hangs in the driver can't be killed, and nobody waits for it.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=1)
        return self.peak

    def _read(self, source: GpuSource, lines: IO[bytes]) -> None:
        with lines:
            for line in lines:
                use = source.memory_use(line.decode("utf-8", "replace"))
                if use and use.uuid in self.uuids:
                    self.peak = max(self.peak, use.used)
