"""The verb that tells of a server's GPUs: what they do, who holds them, who waits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional, Tuple

from remote.job.fields import integer, list_of, nested, number, optional, text
from remote.job.limits import NAME, job_id, line, moment
from remote.job.messages.base import Request, target_key
from remote.job.status import UUID

_PID = integer(0, 1 << 31)
_MEBIBYTES = integer(0, 1 << 40)


@dataclass(frozen=True)
class GpuHolder:
    """Who leases a GPU. What the system doesn't tell is 0, or empty."""

    pid: int = field(default=0, metadata=_PID)
    user: str = field(default="", metadata=line())
    job: str = field(default="", metadata=job_id())


@dataclass(frozen=True)
class GpuProcess:
    """A process that computes on a GPU; `memory` is in MiB. What can't be told is empty, or 0."""

    pid: int = field(metadata=_PID)
    memory: int = field(default=0, metadata=_MEBIBYTES)
    user: str = field(default="", metadata=line())
    name: str = field(default="", metadata=line(NAME))


@dataclass(frozen=True)
class Gpu:
    """One card. Memory in MiB, load in percent.

    `uuid` is its identity everywhere: `index` is the source's own order, which is not CUDA's.
    """

    index: int = field(metadata=integer(0, 1 << 16))
    uuid: str = field(metadata=text(128, UUID))
    name: str = field(metadata=line())
    memory_total: int = field(metadata=_MEBIBYTES)
    memory_used: int = field(metadata=_MEBIBYTES)
    driver: str = field(metadata=line())
    load: Optional[int] = field(default=None, metadata=optional(integer(0, 1000)))
    processes: Tuple[GpuProcess, ...] = field(
        default=(), metadata=list_of(nested(GpuProcess), 10_000)
    )
    fault: str = field(default="", metadata=line(NAME))
    """The source's word for a broken card."""

    @property
    def memory_free(self) -> int:
        return self.memory_total - self.memory_used


@dataclass(frozen=True)
class GpuReport(Gpu):
    """A card, and who leases it."""

    holder: Optional[GpuHolder] = field(default=None, metadata=optional(nested(GpuHolder)))
    """None where no job leases it."""


@dataclass(frozen=True)
class WaitingJob:
    """A job in the line for GPUs: `memory` in MiB free on each, or 0; `submitted` in seconds."""

    job: str = field(default="", metadata=job_id())
    user: str = field(default="", metadata=line())
    gpus: int = field(default=0, metadata=integer(0, 1 << 31))
    memory: int = field(default=0, metadata=integer(0, 1 << 40))
    submitted: float = field(default=0.0, metadata=number(0, 1e12))


@dataclass(frozen=True)
class GpusAnswer:
    """All GPUs of the server, and the line for them, the first in it first."""

    gpus: Tuple[GpuReport, ...] = field(metadata=list_of(nested(GpuReport), 1024))
    waiting: Tuple[WaitingJob, ...] = field(metadata=list_of(nested(WaitingJob), 100_000))
    now: float = field(metadata=moment())
    cuda: str = field(default="", metadata=line())


@dataclass(frozen=True)
class GpusRequest(Request[GpusAnswer]):
    """Tell of the server's GPUs."""

    verb = "gpus"
    answer = GpusAnswer

    key: str = field(metadata=target_key())
    leases: str = field(default="", metadata=text(NAME))
    """Where lease files lie, unless in the usual place."""
