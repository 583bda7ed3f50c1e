"""Stopping a job, its terminal, and its log."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Optional, Tuple

from remote.job.fields import flag, integer, list_of, nested, number, optional, text
from remote.job.limits import MESSAGE, NAME, job_id
from remote.job.messages.base import Request, target_key
from remote.job.status import JobStatus

#: A word of a command line that every shell takes as it is, inside single quotes.
_PLAIN_WORD = re.compile(r"[A-Za-z0-9_.,:/=@%+-]+")


@dataclass(frozen=True)
class StopAnswer:
    """`already` says that it had ended before."""

    id: str = field(metadata=job_id())
    status: JobStatus = field(metadata=nested(JobStatus))
    already: bool = field(metadata=flag())


@dataclass(frozen=True)
class StopRequest(Request[StopAnswer]):
    """End a job; without a name, the one that goes on."""

    verb = "stop"
    answer = StopAnswer

    key: str = field(metadata=target_key())
    job: str = field(default="", metadata=text(NAME))
    patience: float = field(default=20.0, metadata=number(0, 3600))
    """Seconds that it may take before it is killed."""


@dataclass(frozen=True)
class AttachAnswer:
    """The command that shows the terminal of a job's worker, to be run on its server."""

    id: str = field(metadata=job_id())
    argv: Tuple[str, ...] = field(metadata=list_of(text(NAME, _PLAIN_WORD), 100))


@dataclass(frozen=True)
class AttachRequest(Request[AttachAnswer]):
    """Tell how a job's terminal is shown."""

    verb = "attach"
    answer = AttachAnswer

    key: str = field(metadata=target_key())
    job: str = field(metadata=text(NAME))


@dataclass(frozen=True)
class LogAnswer:
    """A piece of a log, or nothing new; the last one has the job's `status`."""

    id: str = field(metadata=job_id())
    offset: int = field(metadata=integer(0, 1 << 62))
    """The byte that the next piece begins at."""
    text: str = field(default="", metadata=text(MESSAGE))
    status: Optional[JobStatus] = field(default=None, metadata=optional(nested(JobStatus)))


@dataclass(frozen=True)
class LogRequest(Request[LogAnswer]):
    """Send the log from byte `offset` on; with `wait`, until the job has ended.

    `tail` above 0 leaves out all but that many last lines of what is there now, `since` what is
    older than so many seconds, `silent` everything.
    """

    verb = "log"
    answer = LogAnswer

    key: str = field(metadata=target_key())
    job: str = field(metadata=text(NAME))
    offset: int = field(default=0, metadata=integer(0, 1 << 62))
    wait: bool = field(default=False, metadata=flag())
    tail: int = field(default=0, metadata=integer(0, 1 << 40))
    since: float = field(default=0.0, metadata=number(0, 1e12))
    silent: bool = field(default=False, metadata=flag())
