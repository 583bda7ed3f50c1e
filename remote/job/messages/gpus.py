"""The verb that tells of a server's GPUs: what they do, who holds them, who waits."""

from __future__ import annotations

from typing import Optional, Tuple

from remote.job.fields import (
    NAME,
    integer,
    job_id,
    line,
    list_of,
    moment,
    nested,
    number,
    optional,
    text,
)
from remote.job.messages.base import TargetRequest
from remote.job.status import UUID
from remote.job.struct import Struct


class GpuHolder(Struct):
    """Who leases a GPU. What the system doesn't tell is 0, or empty."""

    pid: int = integer(0, 1 << 31, default=0)
    user: str = line(default="")
    job: str = job_id(default="")


class GpuProcess(Struct):
    """A process that computes on a GPU; `memory` is in MiB. What can't be told is empty, or 0."""

    pid: int = integer(0, 1 << 31)
    memory: int = integer(0, 1 << 40, default=0)
    user: str = line(default="")
    name: str = line(NAME, default="")


class Gpu(Struct):
    """One card. Memory in MiB, load in percent.

    `uuid` is its identity everywhere: `index` is the source's own order, which is not CUDA's.
    """

    index: int = integer(0, 1 << 16)
    uuid: str = text(128, UUID)
    name: str = line()
    memory_total: Optional[int] = optional(integer(0, 1 << 40))
    memory_used: Optional[int] = optional(integer(0, 1 << 40))
    """None where the card doesn't tell, as one that shares the memory of its machine."""
    driver: str = line()
    load: Optional[int] = optional(integer(0, 1000), default=None)
    processes: Tuple[GpuProcess, ...] = list_of(nested(GpuProcess), 10_000, default=())
    fault: str = line(NAME, default="")
    """The source's word for a broken card."""

    @property
    def memory_free(self) -> Optional[int]:
        if self.memory_total is None or self.memory_used is None:
            return None
        return self.memory_total - self.memory_used


class GpuReport(Gpu):
    """A card, and who leases it."""

    holder: Optional[GpuHolder] = optional(nested(GpuHolder), default=None)
    """None where no job leases it."""


class WaitingJob(Struct):
    """A job in the line for GPUs: `memory` in MiB free on each, or 0; `submitted` in seconds."""

    job: str = job_id(default="")
    user: str = line(default="")
    gpus: int = integer(0, 1 << 31, default=0)
    memory: int = integer(0, 1 << 40, default=0)
    submitted: float = number(0, 1e12, default=0.0)


class GpusAnswer(Struct):
    """All GPUs of the server, and the line for them, the first in it first."""

    gpus: Tuple[GpuReport, ...] = list_of(nested(GpuReport), 1024)
    waiting: Tuple[WaitingJob, ...] = list_of(nested(WaitingJob), 100_000)
    now: float = moment()
    cuda: str = line(default="")


class GpusRequest(TargetRequest[GpusAnswer], verb="gpus", answer=GpusAnswer):
    """Tell of the server's GPUs."""

    leases: str = text(NAME, default="")
    """Where lease files lie, unless in the usual place."""
