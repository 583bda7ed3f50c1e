"""`status.json`: what became of a job. Its worker alone writes it while it lives."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Optional, Tuple

from remote.job.fields import choice, flag, integer, list_of, nested, optional, text
from remote.job.limits import HEX, MESSAGE, NAME, WORD, duration, line, moment, run_id
from remote.job.state import STATES

#: A GPU's UUID, as nvidia-smi tells it.
UUID = re.compile(r"[A-Za-z0-9-]+")


@dataclass(frozen=True)
class ProcessId:
    """A process, told from every other one: by pid, start time and boot."""

    pid: int = field(metadata=integer(1, 1 << 31))
    start: Optional[str] = field(default=None, metadata=optional(line()))
    """In whatever unit the system tells; None where it was dead already."""
    boot: str = field(default="", metadata=line())
    """A text that changes at every boot; empty where the system doesn't tell."""


@dataclass(frozen=True)
class LeasedGpu:
    """A GPU that a job has, or had."""

    index: int = field(metadata=integer(0, 1 << 16))
    """nvidia-smi's, which is not CUDA's."""
    uuid: str = field(metadata=text(128, UUID))
    name: str = field(metadata=line())


@dataclass(frozen=True)
class JobStatus:
    """What became of a job so far. What isn't known (yet) holds its default."""

    state: str = field(metadata=choice(*STATES))
    worker: Optional[ProcessId] = field(default=None, metadata=optional(nested(ProcessId)))
    host: str = field(default="", metadata=line())
    started: Optional[float] = field(default=None, metadata=optional(moment()))
    """When its worker began."""
    waiting: str = field(default="", metadata=text(NAME))
    """What it waits for."""
    environment: str = field(default="", metadata=text(256, WORD))
    """The name of its environment's folder."""
    lock: str = field(default="", metadata=text(64, HEX))
    """The SHA-256 of its lock file."""
    environment_ready: bool = field(default=False, metadata=flag())
    gpus: Tuple[LeasedGpu, ...] = field(default=(), metadata=list_of(nested(LeasedGpu), 1024))
    driver: str = field(default="", metadata=line())
    cuda: str = field(default="", metadata=line())
    running: Optional[float] = field(default=None, metadata=optional(moment()))
    """When its code began, the last time."""
    attempt: int = field(default=0, metadata=integer(0, 1 << 32))
    """Which one it is at, from 1 on."""
    mlflow_run: str = field(default="", metadata=run_id())
    """The run of an attempt that is not the first; job.json names the first one's."""
    peak_memory: int = field(default=0, metadata=integer(0, 1 << 60))
    """In bytes."""
    peak_gpu_memory: int = field(default=0, metadata=integer(0, 1 << 40))
    """In MiB."""
    result: str = field(default="", metadata=text(NAME))
    """The executed notebook, below the target's root."""
    exit_code: Optional[int] = field(default=None, metadata=optional(integer(-(1 << 31), 1 << 31)))
    cause: str = field(default="", metadata=text(MESSAGE))
    """Why it ended, for people."""
    reason: str = field(default="", metadata=text(32, WORD))
    """The same in one word, for scripts."""
    ended: Optional[float] = field(default=None, metadata=optional(moment()))
    seconds: Optional[float] = field(default=None, metadata=optional(duration()))
    """How long its code ran, the last time."""


@dataclass(frozen=True)
class Progress:
    """`progress.json`: which code cell of how many a notebook is at."""

    cell: int = field(metadata=integer(0, 1 << 31))
    cells: int = field(metadata=integer(0, 1 << 31))
