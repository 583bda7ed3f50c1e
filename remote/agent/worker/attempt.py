"""One execution of a job's code: started, watched, and ended when its time is over."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import IO, Iterator, List, Mapping, Optional

from remote.agent.gpus.lease import Lease
from remote.agent.gpus.peak_memory import PeakGpuMemory
from remote.agent.worker import postmortem
from remote.agent.worker.postmortem import TIMEOUT, Outcome
from remote.agent.worker.process_memory import PeakMemory
from remote.job.kinds import kind_of
from remote.job.paths import JobPaths
from remote.job.spec import Job
from remote.job.state import FAILED
from remote.job.status import JobStatus

#: How long a job may take to end after it was asked to, in seconds.
PATIENCE = 10.0


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
        kills = postmortem.kernel_kills()
        with self.watched(lease):
            code = self.execute(self.argv(python), env)
        if code is None:
            return Outcome(FAILED, 124, f"timeout after {self.job.timeout} s", TIMEOUT)
        log = postmortem.tail(self.paths.log, offset)
        return postmortem.outcome(code, log=log, kills=postmortem.kernel_kills() - kills)

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
        gpus = PeakGpuMemory([gpu.uuid for gpu in lease.gpus]) if lease else None
        if gpus:
            gpus.start()
        memory = PeakMemory()
        try:
            with memory:
                yield
        finally:
            self.peak_memory = memory.peak
            self.peak_gpu_memory = gpus.stop() if gpus else 0

    def with_peaks(self, status: JobStatus) -> JobStatus:
        """The same status with the peaks of all attempts so far."""
        return replace(
            status,
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
