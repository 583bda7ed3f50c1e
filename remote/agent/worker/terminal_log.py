"""The log of a job in the terminal that its worker runs in, and notes of when it grew."""

from __future__ import annotations

import os
import time
from typing import Callable

from remote.job.paths import JobPaths

#: Seconds between two looks at the log, and between two notes of how long it was.
LOOK = 0.05
NOTE = 2.0


def mirror(paths: JobPaths, ended: Callable[[], bool]) -> None:
    """Show the log in the terminal that the worker runs in, for whoever attaches to it.

    Notes every few seconds how long the log was, for `since`.
    """
    noted = 0.0
    with open(str(paths.log), "rb") as file, open(str(paths.times), "a") as times:
        while True:
            last = ended()
            for block in iter(lambda: file.read(1 << 16), b""):
                if time.time() - noted > NOTE:
                    noted = time.time()
                    times.write(f"{noted:.1f} {file.tell() - len(block)}\n")
                    times.flush()
                _show(block)
            if last:
                return
            time.sleep(LOOK)


def _show(block: bytes) -> None:
    try:
        os.write(1, block)
    except OSError:
        # The terminal is gone; the job is not.
        pass
