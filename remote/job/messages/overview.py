"""The verb that tells in one answer what a dashboard shows of a server."""

from __future__ import annotations

from typing import Optional

from remote.job import fields
from remote.job.fields import MESSAGE, NAME, VERY_MANY
from remote.job.messages.base import TargetRequest
from remote.job.messages.gpus import GpusAnswer
from remote.job.messages.jobs import JobsAnswer
from remote.job.struct import Struct


class OverviewAnswer(Struct):
    """Jobs, of which those that go on have the curve of their newest metric, GPUs, and their queue."""

    jobs: JobsAnswer = fields.nested(JobsAnswer)
    gpus: Optional[GpusAnswer] = fields.optional(fields.nested(GpusAnswer), default=None)
    gpu_fault: str = fields.text(MESSAGE, default="")
    """Why the GPUs can't be told."""


class OverviewRequest(
    TargetRequest[OverviewAnswer], verb="overview", answer=OverviewAnswer, public=True
):
    """Tell of the `newest` jobs, all that go on, and the server's GPUs."""

    newest: int = fields.integer(0, VERY_MANY, default=0)
    leases: str = fields.text(NAME, default="")
    """Where lease files lie, unless in the usual place."""
    points: int = fields.integer(0, 1000, default=0)
    """How many values a curve has."""
