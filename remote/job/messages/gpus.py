"""The verb that tells of a server's GPUs: what they do, who holds them, who waits."""

from __future__ import annotations

from typing import Optional, Tuple

from remote.job import fields
from remote.job.fields import MANY, NAME, WORD
from remote.job.messages.base import TargetRequest
from remote.job.status import UUID, LeasedGpu
from remote.job.struct import Struct


class GpuHolder(Struct):
    """Who leases a GPU. What the system doesn't tell is 0, or empty."""

    pid: int = fields.integer(0, 1 << 31, default=0)
    user: str = fields.line(default="")
    job: str = fields.job_id(default="")
    share: float = fields.number(0, 1, default=1.0)
    """How much of it."""


class GpuProcess(Struct):
    """A process that computes on a GPU; `memory` is in MiB. What can't be told is empty, or 0."""

    pid: int = fields.integer(0, 1 << 31)
    memory: int = fields.integer(0, 1 << 40, default=0)
    user: str = fields.line(default="")
    name: str = fields.line(NAME, default="")


class Gpu(LeasedGpu):
    """One card, as its source tells of it. Memory in MiB, load in percent."""

    memory_total: Optional[int] = fields.optional(fields.integer(0, 1 << 40))
    memory_used: Optional[int] = fields.optional(fields.integer(0, 1 << 40))
    """None where the card doesn't tell, as one that shares the memory of its machine."""
    driver: str = fields.line()
    load: Optional[int] = fields.optional(fields.integer(0, 1000), default=None)
    processes: Tuple[GpuProcess, ...] = fields.list_of(
        fields.nested(GpuProcess), 10_000, default=()
    )
    fault: str = fields.line(NAME, default="")
    """The source's word for a broken card."""
    holder: Optional[GpuHolder] = fields.optional(fields.nested(GpuHolder), default=None)
    """None where no job leases it."""
    sharers: Tuple[GpuHolder, ...] = fields.list_of(fields.nested(GpuHolder), 1024, default=())
    """All that have a part of it."""
    node: str = fields.line(default="")
    """Which machine of a cluster has it; empty for the server's own."""

    @property
    def memory_free(self) -> Optional[int]:
        if self.memory_total is None or self.memory_used is None:
            return None
        return self.memory_total - self.memory_used


class WaitingJob(Struct):
    """A job in the line for GPUs: `memory` in MiB free on each, or 0; `submitted` in seconds."""

    job: str = fields.job_id(default="")
    user: str = fields.line(default="")
    gpus: int = fields.integer(0, 1 << 31, default=0)
    memory: int = fields.integer(0, 1 << 40, default=0)
    submitted: float = fields.number(0, 1e12, default=0.0)
    cards: Tuple[str, ...] = fields.list_of(fields.text(128, UUID), 1024, default=())
    """The UUIDs of those that will do; empty where all of the machine's do."""
    share: float = fields.number(0, 1, default=1.0)
    """How much of one GPU."""


class GpusAnswer(Struct):
    """All GPUs of the server, and the line for them, the first in it first."""

    gpus: Tuple[Gpu, ...] = fields.list_of(fields.nested(Gpu), 1024)
    waiting: Tuple[WaitingJob, ...] = fields.list_of(fields.nested(WaitingJob), 100_000)
    now: float = fields.moment()
    cuda: str = fields.line(default="")


class GpusRequest(TargetRequest[GpusAnswer], verb="gpus", answer=GpusAnswer, public=True):
    """Tell of the server's GPUs."""

    leases: str = fields.text(NAME, default="")
    """Where lease files lie, unless in the usual place."""
    launcher: str = fields.text(64, WORD, default="")
    sbatch: Tuple[str, ...] = fields.list_of(fields.text(NAME), MANY, default=())
    """As of a job: where that is Slurm's, the GPUs are those of its partition."""
