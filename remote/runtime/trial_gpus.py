"""One of the job's GPUs for each process that runs trials."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import IO, Any, List, Sequence

#: How long a process waits for one that is just ending, in seconds.
PATIENCE = 30.0

#: The locks of this process; the kernel frees them when it dies.
_held: List[IO[Any]] = []


def visible() -> List[str]:
    """The GPUs that this process may use."""
    return [each for each in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if each]


def take(folder: Path, gpus: Sequence[str], *, patience: float = PATIENCE) -> bool:
    """Let this process, for as long as it lives, see one GPU that no other one of the job has.

    False where all are taken: the process then sees what it saw before.
    """
    if _held:
        return True
    deadline = time.monotonic() + patience
    while not _try(folder, gpus):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _try(folder: Path, gpus: Sequence[str]) -> bool:
    for number, gpu in enumerate(gpus):
        file = open(str(folder / f"gpu-{number}.lock"), "a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            continue
        _held.append(file)
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
        return True
    return False
