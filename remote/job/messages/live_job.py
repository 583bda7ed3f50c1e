"""Stopping a job, its terminal, and its log."""

from __future__ import annotations

import re
from typing import Optional, Tuple

from remote.job.fields import (
    MESSAGE,
    NAME,
    flag,
    integer,
    job_id,
    list_of,
    nested,
    number,
    optional,
    text,
)
from remote.job.messages.base import TargetRequest
from remote.job.status import JobStatus
from remote.job.struct import Struct

#: A word of a command line that every shell takes as it is, inside single quotes.
_PLAIN_WORD = re.compile(r"[A-Za-z0-9_.,:/=@%+-]+")


class StopAnswer(Struct):
    """`already` says that it had ended before."""

    id: str = job_id()
    status: JobStatus = nested(JobStatus)
    already: bool = flag()


class StopRequest(TargetRequest[StopAnswer]):
    """End a job; without a name, the one that goes on."""

    verb = "stop"
    answer = StopAnswer

    job: str = text(NAME, default="")
    patience: float = number(0, 3600, default=20.0)
    """Seconds that it may take before it is killed."""


class AttachAnswer(Struct):
    """The command that shows the terminal of a job's worker, to be run on its server."""

    id: str = job_id()
    argv: Tuple[str, ...] = list_of(text(NAME, _PLAIN_WORD), 100)


class AttachRequest(TargetRequest[AttachAnswer]):
    """Tell how a job's terminal is shown."""

    verb = "attach"
    answer = AttachAnswer

    job: str = text(NAME)


class LogAnswer(Struct):
    """A piece of a log, or nothing new; the last one has the job's `status`."""

    id: str = job_id()
    offset: int = integer(0, 1 << 62)
    """The byte that the next piece begins at."""
    text: str = text(MESSAGE, default="")
    status: Optional[JobStatus] = optional(nested(JobStatus), default=None)


class LogRequest(TargetRequest[LogAnswer]):
    """Send the log from byte `offset` on; with `wait`, until the job has ended.

    `tail` above 0 leaves out all but that many last lines of what is there now, `since` what is
    older than so many seconds, `silent` everything.
    """

    verb = "log"
    answer = LogAnswer

    job: str = text(NAME)
    offset: int = integer(0, 1 << 62, default=0)
    wait: bool = flag(default=False)
    tail: int = integer(0, 1 << 40, default=0)
    since: float = number(0, 1e12, default=0.0)
    silent: bool = flag(default=False)
