"""One execution of a job's code: started, watched, ended when its time is over, and why it ended.

That is told from its exit code, the end of its log, and the kernel's counter.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Iterator, List, Mapping, Optional

from remote.agent.gpus.lease import Lease
from remote.agent.worker.peak_memory import PeakGpuMemory, PeakMemory
from remote.job.kinds import kind_of
from remote.job.paths import JobPaths
from remote.job.spec import Job
from remote.job.state import FAILED, FINISHED, STOPPED
from remote.job.status import JobStatus

#: How long a job may take to end after it was asked to, in seconds.
PATIENCE = 10.0

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


class Attempt:
    """Runs the job's code once, in a session of its own. Peaks are in bytes and MiB."""

    def __init__(self, paths: JobPaths, job: Job, code: Path, log: IO[bytes]) -> None:
        self.paths = paths
        self.job = job
        self.code = code
        self.log = log
        self.peak_memory = 0
        self.peak_gpu_memory = 0

    def run(self, python: Path, env: Mapping[str, str], lease: Optional[Lease]) -> Outcome:
        """Run to the end; what it was comes back. A stop from outside ends the code, and goes on."""
        offset = self.paths.log.stat().st_size
        kills = kernel_kills()
        with self.watched(lease):
            code = self.execute(self.argv(python), env)
        if code is None:
            return Outcome(FAILED, 124, f"timeout after {self.job.timeout} s", TIMEOUT)
        log = tail(self.paths.log, offset)
        return outcome(code, log=log, kills=kernel_kills() - kills)

    def argv(self, python: Path) -> List[str]:
        """What runs inside the environment, and there starts the user's code."""
        entry = kind_of(self.job).entry
        return [str(python), os.path.abspath(sys.argv[0]), entry, str(self.paths.folder)]

    def execute(self, argv: List[str], env: Mapping[str, str]) -> Optional[int]:
        """The exit code; None where the time was over."""
        child = subprocess.Popen(
            argv,
            cwd=str(self.code),
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )
        try:
            return child.wait(self.job.timeout or None)
        except subprocess.TimeoutExpired:
            return None
        finally:
            _end(child)

    @contextlib.contextmanager
    def watched(self, lease: Optional[Lease]) -> Iterator[None]:
        """Note the peaks of memory while the code runs."""
        gpus = PeakGpuMemory([gpu.uuid for gpu in lease.gpus] if lease else ())
        gpus.start()
        memory = PeakMemory()
        try:
            with memory:
                yield
        finally:
            self.peak_memory = memory.peak
            self.peak_gpu_memory = gpus.stop()

    def with_peaks(self, status: JobStatus) -> JobStatus:
        """The same status with the peaks of all attempts so far."""
        return status.replace(
            peak_memory=max(self.peak_memory, status.peak_memory),
            peak_gpu_memory=max(self.peak_gpu_memory, status.peak_gpu_memory),
        )


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ask the code to end, wait, then kill it."""
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


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
