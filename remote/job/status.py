"""What a job says of itself: `status.json`, `progress.json`, `serving.json`.

Its worker alone writes the first while it lives.
"""

from __future__ import annotations

import re
from typing import Mapping, Optional, Tuple

from remote.job import fields
from remote.job.fields import HEX, MESSAGE, NAME, VERY_MANY, WORD
from remote.job.struct import Struct

QUEUED = "queued"
PREPARING = "preparing"
RUNNING = "running"
FINISHED = "finished"
FAILED = "failed"
STOPPED = "stopped"
LOST = "lost"

#: A job whose status this version can't read: it says of itself what a newer one knows.
UNKNOWN = "unknown"

STATES = (QUEUED, PREPARING, RUNNING, FINISHED, FAILED, STOPPED, LOST, UNKNOWN)

ENDED = frozenset({FINISHED, FAILED, STOPPED, LOST})

#: The cause of a job that was lost with the machine.
RESTARTED = "the server was restarted"

#: Why a job ended that could not even begin (`reason` in its status).
REFUSED = "refused"

#: How a job's end is told to MLflow.
RUN_STATUS = {FINISHED: "FINISHED", FAILED: "FAILED", STOPPED: "KILLED", LOST: "FAILED"}


#: A GPU's UUID, as nvidia-smi tells it; it becomes part of a lease file's name.
UUID = re.compile(r"[A-Za-z0-9-]+")


class ProcessId(Struct):
    """A process, told from every other one: by pid, start time and boot."""

    pid: int = fields.integer(1, 1 << 31)
    start: Optional[str] = fields.optional(fields.line(), default=None)
    """In whatever unit the system tells; None where it was dead already."""
    boot: str = fields.line(default="")
    """A text that changes at every boot; empty where the system doesn't tell."""


class LeasedGpu(Struct):
    """A GPU that a job has, or had."""

    index: int = fields.integer(0, 1 << 16)
    """nvidia-smi's, which is not CUDA's."""
    uuid: str = fields.text(128, UUID)
    """Its identity everywhere."""
    name: str = fields.line()


class JobStatus(Struct):
    """What became of a job so far. What isn't known (yet) holds its default."""

    state: str = fields.choice(*STATES)
    worker: Optional[ProcessId] = fields.optional(fields.nested(ProcessId), default=None)
    host: str = fields.line(default="")
    started: Optional[float] = fields.optional(fields.moment(), default=None)
    """When its worker began."""
    waiting: str = fields.text(NAME, default="")
    """What it waits for."""
    environment: str = fields.text(256, WORD, default="")
    """The name of its environment's folder."""
    lock: str = fields.text(64, HEX, default="")
    """The SHA-256 of its lock file."""
    environment_ready: bool = fields.flag(default=False)
    gpus: Tuple[LeasedGpu, ...] = fields.list_of(fields.nested(LeasedGpu), 1024, default=())
    driver: str = fields.line(default="")
    cuda: str = fields.line(default="")
    running: Optional[float] = fields.optional(fields.moment(), default=None)
    """When its code began, the last time."""
    code: Optional[ProcessId] = fields.optional(fields.nested(ProcessId), default=None)
    """Its code's first process, the leader of a session of its own."""
    attempt: int = fields.integer(0, 1 << 32, default=0)
    """Which one it is at, from 1 on."""
    mlflow_run: str = fields.run_id(default="")
    """The run of an attempt that is not the first; job.json names the first one's."""
    peak_memory: int = fields.integer(0, 1 << 60, default=0)
    """In bytes."""
    peak_gpu_memory: int = fields.integer(0, 1 << 40, default=0)
    """In MiB."""
    result: str = fields.text(NAME, default="")
    """The executed notebook, below the target's root."""
    exit_code: Optional[int] = fields.optional(fields.integer(-255, 255), default=None)
    """Of 256 the client's own exit code would be 0."""
    cause: str = fields.text(MESSAGE, default="")
    """Why it ended, for people."""
    reason: str = fields.text(32, WORD, default="")
    """The same in one word, for scripts."""
    ended: Optional[float] = fields.optional(fields.moment(), default=None)
    seconds: Optional[float] = fields.optional(fields.number(-1e12, 1e12), default=None)
    """How long its code ran, the last time; a clock that is set back makes it negative."""

    @property
    def in_words(self) -> str:
        """The state with its cause: `failed (out of memory)`."""
        return f"{self.state} ({self.cause})" if self.cause else self.state


class Progress(Struct):
    """`progress.json`: which code cell of how many a notebook is at."""

    cell: int = fields.integer(0, 1 << 31)
    cells: int = fields.integer(0, 1 << 31)


class Unpulled(Struct):
    """`unpulled.json`: what a job's code wrote where no pull brings it from, in bytes by path.

    What lies below `data` is in the target, everything else in the job's snapshot.
    """

    files: Mapping[str, int] = fields.mapping_of(
        fields.integer(0, 1 << 62), VERY_MANY, key=fields.text(NAME), default={}
    )


#: How the folders of services begin: in /tmp, since a socket's path must fit into 104 bytes.
PRIVATE = "/tmp/remote-serve-"

#: What the socket is called in such a folder.
SOCKET = "socket"


class Serving(Struct):
    """The folder with its socket or its account of itself, and the page that it shows."""

    folder: str = fields.text(NAME)
    path: str = fields.text(NAME)
