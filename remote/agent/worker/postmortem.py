"""Why a job's code ended: told from its exit code, the end of its log, and the kernel's counter."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from pathlib import Path

from remote.job.state import FAILED, FINISHED, STOPPED

VMSTAT = Path("/proc/vmstat")

#: How much of the log's end is read for signs of an error, in bytes.
TAIL = 1 << 16

#: What CUDA, PyTorch, TensorFlow, JAX and CuPy say when a GPU's memory is used up.
_GPU_MEMORY = re.compile(
    rb"CUDA out of memory|CUDA error: out of memory|CUDA_ERROR_OUT_OF_MEMORY"
    rb"|cudaErrorMemoryAllocation|CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED"
    rb"|RESOURCE_EXHAUSTED: (Out of memory|OOM)|OOM when allocating tensor"
    rb"|cupy\S*OutOfMemoryError"
)
_KERNEL_DIED = re.compile(rb"DeadKernelError|Kernel died")

CRASHED, SIGNAL, TIMEOUT, OOM, OOM_GPU = "error", "signal", "timeout", "oom", "oom-gpu"


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended. `reason` is one word for scripts, `cause` the words for people."""

    state: str
    code: int
    cause: str = ""
    reason: str = ""


STOPPED_BY_USER = Outcome(STOPPED, 143, "stopped", "stopped")


def kernel_kills() -> int:
    """How many processes this machine's kernel has killed for want of memory since it started."""
    try:
        match = re.search(r"^oom_kill (\d+)$", VMSTAT.read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(match[1]) if match else 0


def tail(log: Path, offset: int) -> bytes:
    """The end of a log, from byte `offset` on."""
    with open(str(log), "rb") as file:
        size = file.seek(0, 2)
        file.seek(max(offset, size - TAIL))
        return file.read()


def outcome(code: int, *, log: bytes, kills: int) -> Outcome:
    """What an exit code (negative: a signal, as subprocess tells it) means.

    `log` is the end of what the attempt wrote, `kills` how many processes the kernel killed for
    want of memory meanwhile: it tells nobody which, so that counts only where one of ours was.
    """
    if code == 0:
        return Outcome(FINISHED, 0)
    shown = code if code > 0 else 128 - code
    killed = code in (-signal.SIGKILL, 128 + signal.SIGKILL) or bool(_KERNEL_DIED.search(log))
    if killed and kills > 0:
        return Outcome(FAILED, shown, "out of memory: the server's kernel killed it", OOM)
    if _GPU_MEMORY.search(log):
        return Outcome(FAILED, shown, "out of GPU memory", OOM_GPU)
    if re.search(rb"^(MemoryError|numpy\S*MemoryError)\b", log, re.MULTILINE):
        return Outcome(FAILED, shown, "out of memory (MemoryError)", OOM)
    if code < 0:
        return Outcome(FAILED, shown, f"killed by {_signal(-code)}", SIGNAL)
    if _KERNEL_DIED.search(log):
        return Outcome(FAILED, shown, "its notebook's kernel died", SIGNAL)
    return Outcome(FAILED, shown, f"its code failed (exit code {shown})", CRASHED)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
