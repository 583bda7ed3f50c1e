"""The peak memory of GPUs while something runs on them."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from typing import IO, Iterable, Optional

#: Milliseconds between two looks.
LOOK = 500

_QUERY = ("--query-gpu=uuid,memory.used", "--format=csv,noheader,nounits", "-lms", str(LOOK))


class MemoryWatch:
    """Notes the most memory in use, in MiB, on the fullest of the given cards.

    One nvidia-smi prints all the time and a thread reads it. If this process is killed, the next
    print ends nvidia-smi (SIGPIPE). A job never fails because nvidia-smi does: its peak is 0 then.
    """

    def __init__(self, uuids: Iterable[str]) -> None:
        self.uuids = frozenset(uuids)
        self.peak = 0
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._thread: Optional[threading.Thread] = None

    def start(self) -> None:
        """Begin to look."""
        try:
            self._process = subprocess.Popen(
                ["nvidia-smi", *_QUERY],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        except OSError:
            return
        assert self._process.stdout is not None
        self._thread = threading.Thread(target=self._read, args=[self._process.stdout], daemon=True)
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

    def _read(self, lines: IO[bytes]) -> None:
        with lines:
            for line in lines:
                uuid, _, used = line.decode("utf-8", "replace").strip().partition(", ")
                if uuid in self.uuids and used.isdigit():
                    self.peak = max(self.peak, int(used))
