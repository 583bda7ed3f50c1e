"""Listing the jobs of a target. Jobs are named by their id, a unique part of it, or `last`."""

from __future__ import annotations

import sys
from typing import Mapping, Optional, Tuple

from remote.job.fields import (
    NAME,
    VERY_MANY,
    WORD,
    integer,
    job_id,
    list_of,
    mapping_of,
    moment,
    names,
    nested,
    number,
    optional,
    text,
)
from remote.job.messages.base import TargetRequest
from remote.job.status import JobStatus, Progress
from remote.job.struct import Struct


class Metric(Struct):
    """A value of an MLflow metric."""

    key: str = text(NAME)
    value: float = number(-sys.float_info.max, sys.float_info.max)
    step: int = integer(-(1 << 63), 1 << 63)


class JobSummary(JobStatus):
    """A job in a list: what it is, what became of it, and how far it is."""

    id: str = job_id(default="")
    name: str = text(NAME, default="")
    kind: str = text(32, WORD, default="")
    source: str = text(NAME, default="")
    submitted: float = moment(default=0.0)
    experiment: str = text(NAME, default="")
    user: str = text(NAME, default="")
    after: str = text(NAME, default="")
    progress: Optional[Progress] = optional(nested(Progress), default=None)
    metrics: Tuple[Metric, ...] = list_of(nested(Metric), 100, default=())
    """The newest ones, while it runs."""
    children: Mapping[str, int] = mapping_of(
        integer(0, 1 << 40), 100, key=text(64, WORD), default={}
    )
    """How many runs below its own there are, by their MLflow status."""


class JobsAnswer(Struct):
    """Jobs, the oldest first, and the server's clock."""

    jobs: Tuple[JobSummary, ...] = list_of(nested(JobSummary), VERY_MANY)
    now: float = moment()


class JobsRequest(TargetRequest[JobsAnswer]):
    """List jobs: those that are named, else the `newest` and all that go on (0: all)."""

    verb = "jobs"
    answer = JobsAnswer

    newest: int = integer(0, VERY_MANY, default=0)
    jobs: Tuple[str, ...] = names(default=())
