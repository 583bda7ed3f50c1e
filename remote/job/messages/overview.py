"""The verb that tells in one answer what a dashboard shows of a server."""

from __future__ import annotations

import sys
from typing import Mapping, Optional, Tuple

from remote.job import fields
from remote.job.fields import MESSAGE, VERY_MANY
from remote.job.messages.base import TargetRequest
from remote.job.messages.gpus import GpusAnswer, GpusRequest
from remote.job.messages.jobs import JobsAnswer
from remote.job.struct import Struct


class OverviewAnswer(Struct):
    """Jobs, GPUs and their queue, and of jobs that go on the curve of their newest metric."""

    jobs: JobsAnswer = fields.nested(JobsAnswer)
    curves: Mapping[str, Tuple[float, ...]] = fields.mapping_of(
        fields.list_of(fields.number(-sys.float_info.max, sys.float_info.max), 1000),
        VERY_MANY,
        key=fields.job_id(),
        default={},
    )
    """The last values of the first one of a job's metrics, the oldest first, by the job's id."""
    gpus: Optional[GpusAnswer] = fields.optional(fields.nested(GpusAnswer), default=None)
    gpu_fault: str = fields.text(MESSAGE, default="")
    """Why the GPUs can't be told."""


class OverviewRequest(
    TargetRequest[OverviewAnswer], verb="overview", answer=OverviewAnswer, public=True
):
    """Tell of the `newest` jobs, all that go on, and the server's GPUs."""

    gpus: GpusRequest = fields.nested(GpusRequest)
    newest: int = fields.integer(0, VERY_MANY, default=0)
    points: int = fields.integer(0, 1000, default=0)
    """How many values a curve has."""
