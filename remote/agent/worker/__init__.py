"""The supervisor of one job, from its environment to its end.

Its modules share what is here: what a worker tells of its job, in status.json, in the log, in the
job's MLflow run and in the terminal.
"""

from __future__ import annotations

import contextlib
import functools
import os
import time
from typing import IO, TYPE_CHECKING, Any, Callable, Dict, NamedTuple, Optional

from remote.addresses import without_secrets
from remote.agent import environments
from remote.files import shortened
from remote.job.fields import NAME
from remote.job.paths import JobPaths
from remote.job.spec import read_job
from remote.job.status import QUEUED, JobStatus

# A submission waits for the worker's first word: what isn't needed for that is imported later.
if TYPE_CHECKING:
    from threading import Event

    from remote.agent.tracking.run_rows import RecordedRun

#: Seconds between two looks at the log, at least and at most, and between two notes of how long it
#: was.
LOOK, SELDOM = 0.05, 2.0
NOTE = 2.0


class Outcome(NamedTuple):
    """How an attempt ended. `reason` is one word for scripts, `cause` the words for people."""

    state: str
    code: int
    cause: str = ""
    reason: str = ""


class Record:
    """A job and what its worker tells of it. `status.json` is written here alone while it lives.

    `status` is replaced, never changed: what was handed on stays what it was. `here` is a job that
    runs in the project itself, and not in a snapshot. `exports` is what its setup lines have set.
    """

    def __init__(self, paths: JobPaths) -> None:
        self.paths = paths
        self.job = read_job(paths.folder)
        self.here = bool(self.job.interpreter)
        self.code = paths.root if self.here else paths.code
        self.status = JobStatus(QUEUED)
        self.run: Optional[RecordedRun] = None
        self.exports: Dict[str, str] = {}
        self.log: IO[bytes] = open(str(paths.log), "ab", buffering=0)

    @functools.cached_property
    def environment(self) -> environments.ProjectEnvironment:
        """What the job's code asks for, there or still to be made; raises JobError."""
        return environments.of_job(self.paths.root, self.code, self.job)

    def write(self, **changes: Any) -> None:
        """Change some of the status, on disk in one step."""
        self.status = self.status.replace(**changes)
        self.status.to_file(self.paths.status)

    def say(self, text: str) -> None:
        """Put a line of the toolkit's own into the job's log, unless its disk is full."""
        line = f"[remote] {without_secrets(text)}\n"
        with contextlib.suppress(OSError):
            self.log.write(line.encode("utf-8", "backslashreplace"))

    def wait(self, reason: str) -> None:
        """Write down what the job waits for."""
        reason = shortened(reason, NAME)
        if reason != self.status.waiting:
            self.say(reason)
            # A full disk takes nobody's place in a queue.
            with contextlib.suppress(OSError):
                self.write(state=QUEUED, waiting=reason)

    def begin_run(self) -> None:
        """Give the job its MLflow run, and every attempt but the first a new one."""
        from remote.agent.tracking import job_run

        if self.job.record:
            run_id = self.status.mlflow_run or self.job.mlflow_run
            self.run = job_run.begin_run(self.paths, self.job, run_id)


def mirror(paths: JobPaths, ended: Event, is_waiting: Callable[[], bool]) -> None:
    """Show the log in the terminal that the worker runs in, for whoever attaches to it.

    Notes every few seconds how long the log was, for `since`. While a job waits and its log doesn't
    grow, it looks ever less often.
    """
    noted, pause = 0.0, LOOK
    with open(str(paths.log), "rb") as file, open(str(paths.times), "a") as times:
        while True:
            last, pause = ended.is_set(), min(2 * pause, SELDOM) if is_waiting() else LOOK
            for block in iter(lambda: file.read(1 << 16), b""):
                pause = LOOK
                if time.time() - noted > NOTE:
                    noted = time.time()
                    # A full disk ends no mirror.
                    with contextlib.suppress(OSError):
                        times.write(f"{noted:.1f} {file.tell() - len(block)}\n")
                        times.flush()
                # Where the terminal is gone, the job is not.
                with contextlib.suppress(OSError):
                    os.write(1, block)
            if last:
                return
            ended.wait(pause)
