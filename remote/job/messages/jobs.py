"""Listing the jobs of a target. Jobs are named by their id, a unique part of it, or `last`."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Mapping, Optional, Tuple

from remote.job.fields import integer, list_of, mapping_of, nested, number, optional, text
from remote.job.limits import NAME, VERY_MANY, WORD, job_id, moment, names
from remote.job.messages.base import Request, target_key
from remote.job.status import JobStatus, Progress


@dataclass(frozen=True)
class Metric:
    """A value of an MLflow metric."""

    key: str = field(metadata=text(NAME))
    value: float = field(metadata=number(-sys.float_info.max, sys.float_info.max))
    step: int = field(metadata=integer(-(1 << 63), 1 << 63))


@dataclass(frozen=True)
class JobSummary(JobStatus):
    """A job in a list: what it is, what became of it, and how far it is."""

    id: str = field(default="", metadata=job_id())
    name: str = field(default="", metadata=text(NAME))
    kind: str = field(default="", metadata=text(32, WORD))
    source: str = field(default="", metadata=text(NAME))
    submitted: float = field(default=0.0, metadata=moment())
    experiment: str = field(default="", metadata=text(NAME))
    user: str = field(default="", metadata=text(NAME))
    after: str = field(default="", metadata=text(NAME))
    progress: Optional[Progress] = field(default=None, metadata=optional(nested(Progress)))
    metrics: Tuple[Metric, ...] = field(default=(), metadata=list_of(nested(Metric), 100))
    """The newest ones, while it runs."""
    children: Mapping[str, int] = field(
        default_factory=dict, metadata=mapping_of(integer(0, 1 << 40), 100, key=text(64, WORD))
    )
    """How many runs below its own there are, by their MLflow status."""


@dataclass(frozen=True)
class JobsAnswer:
    """Jobs, the oldest first, and the server's clock."""

    jobs: Tuple[JobSummary, ...] = field(metadata=list_of(nested(JobSummary), VERY_MANY))
    now: float = field(metadata=moment())


@dataclass(frozen=True)
class JobsRequest(Request[JobsAnswer]):
    """List jobs: those that are named, else the `newest` and all that go on (0: all)."""

    verb = "jobs"
    answer = JobsAnswer

    key: str = field(metadata=target_key())
    newest: int = field(default=0, metadata=integer(0, VERY_MANY))
    jobs: Tuple[str, ...] = field(default=(), metadata=names())
