"""Verbs on jobs: submitted, listed, stopped, shown in their terminal, and their logs.

Jobs are named by their id, a unique part of it, or `last`.
"""

from __future__ import annotations

import re
import sys
from typing import Mapping, Optional, Tuple

from remote.job import fields
from remote.job.fields import DIFF, HEX, INTEGER, MANY, MESSAGE, NAME, VERY_MANY, WORD
from remote.job.messages.base import LOOK_FIRST, TargetRequest
from remote.job.messages.target import Machine
from remote.job.spec import JobSpec
from remote.job.status import JobStatus, Progress
from remote.job.struct import Struct


class SubmitAnswer(Struct):
    """A job that was accepted, or what has to be done first: `need` is `uv`, EMPTY_STORE, `proxy` or
    PUSH."""

    id: str = fields.job_id(default="")
    environment_ready: bool = fields.flag(default=False)
    need: str = fields.text(16, WORD, default="")
    platform: Optional[Machine] = fields.optional(fields.nested(Machine), default=None)
    """What a program that is brought must have been built for."""
    pushed_by: str = fields.line(default="")
    """Whose push the tree is, where it isn't the submitter's any more."""
    repeated: bool = fields.flag(default=False)
    """Whether the same request had started it before."""
    ids: Tuple[str, ...] = fields.list_of(fields.job_id(), MANY, default=())
    """Of several jobs that were asked for, those that were started."""
    problem: str = fields.text(MESSAGE, default="")
    """Why the others weren't."""
    launcher: str = fields.text(64, WORD, default="")
    """What keeps it alive, where the request left that to the server."""


#: What a submission needs where somebody else pushed since its own push, or does so now.
PUSH = "push"

#: What it needs where no MLflow of the server's can make the store for its record.
EMPTY_STORE = "mlflow-store"


class SubmitRequest(
    TargetRequest[SubmitAnswer], verb="submit", answer=SubmitAnswer, repeat=LOOK_FIRST
):
    """Start a job. A service that goes on already is answered in the place of a second one, and so
    is a job that the same request has started before."""

    job: JobSpec = fields.nested(JobSpec)
    more: Tuple[JobSpec, ...] = fields.list_of(fields.nested(JobSpec), MANY, default=())
    """Further jobs of one sweep, to be started on the same code in the same environment."""
    request: str = fields.text(32, HEX, default="")
    """Its id, made before it was sent first."""
    push: str = fields.text(32, HEX, default="")
    """The push that brought the code; empty where it is a snapshot that runs again."""
    launcher: str = fields.text(64, WORD, default="")
    """Its row in remote.agent.launchers; empty is what the server has."""
    launcher_setting: str = fields.text(NAME, default="")
    """What the user's settings say for it: the name of the tmux server that is to hold the job."""
    diff: str = fields.text(DIFF, default="")
    """What the pushed code has beyond its git commit."""
    offline: bool = fields.flag(default=False)
    """Whether an environment is to be made through the laptop; `need` asks for that."""
    proxy: str = fields.text(NAME, default="")
    """Where the laptop is reached for that: an address with a password in it."""


class Metric(Struct):
    """A value of an MLflow metric."""

    key: str = fields.text(NAME)
    value: float = fields.number(-sys.float_info.max, sys.float_info.max)
    step: int = fields.integer(-INTEGER - 1, INTEGER)


class JobSummary(JobStatus):
    """A job in a list: what it is, what became of it, and how far it is."""

    id: str = fields.job_id(default="")
    name: str = fields.text(NAME, default="")
    kind: str = fields.text(32, WORD, default="")
    source: str = fields.text(NAME, default="")
    submitted: float = fields.moment(default=0.0)
    experiment: str = fields.text(NAME, default="")
    user: str = fields.text(NAME, default="")
    after: str = fields.text(NAME, default="")
    again: str = fields.job_id(default="")
    asked: str = fields.text(NAME, default="")
    """The program with its parameters and arguments, as it would be typed; cut in a list."""
    parameters: Mapping[str, str] = fields.mapping_of(
        fields.text(MESSAGE), VERY_MANY, key=fields.text(NAME), default={}
    )
    """Those that were not given, too; told, as what follows, of a job that is named."""
    cwd: str = fields.text(NAME, default="")
    retries: int = fields.integer(0, 1 << 31, default=0)
    timeout: int = fields.integer(0, 1 << 40, default=0)
    """In seconds."""
    variables: Tuple[str, ...] = fields.names(default=())
    """The names of its environment variables: what they hold may be secret."""
    progress: Optional[Progress] = fields.optional(fields.nested(Progress), default=None)
    metrics: Tuple[Metric, ...] = fields.list_of(fields.nested(Metric), 100, default=())
    """The newest ones, while it runs."""
    children: Mapping[str, int] = fields.mapping_of(
        fields.integer(0, 1 << 40), 100, key=fields.text(64, WORD), default={}
    )
    """How many runs below its own there are, by their MLflow status."""
    unpulled: str = fields.text(MESSAGE, default="")
    """What its code wrote where no pull brings it from; told of a job that is named."""


class JobsAnswer(Struct):
    """Jobs, the oldest first, and the server's clock, now and when it was started."""

    jobs: Tuple[JobSummary, ...] = fields.list_of(fields.nested(JobSummary), VERY_MANY)
    now: float = fields.moment()
    booted: float = fields.moment(default=0.0)


class JobsRequest(TargetRequest[JobsAnswer], verb="jobs", answer=JobsAnswer, public=True):
    """List jobs: those that are named, else the `newest` and all that go on (0: all)."""

    newest: int = fields.integer(0, VERY_MANY, default=0)
    jobs: Tuple[str, ...] = fields.names(default=())


#: A word of a command line that every shell takes as it is, inside single quotes.
_PLAIN_WORD = re.compile(r"[A-Za-z0-9_.,:/=@%+-]+")


class StoppedJob(Struct):
    """What became of a job that was to end; `already` says that it had ended before."""

    id: str = fields.job_id()
    status: JobStatus = fields.nested(JobStatus)
    already: bool = fields.flag(default=False)
    problem: str = fields.text(MESSAGE, default="")
    """Why it goes on, or why that can't be told; empty where it has ended."""


class StopAnswer(Struct):
    stopped: Tuple[StoppedJob, ...] = fields.list_of(fields.nested(StoppedJob), VERY_MANY)


class StopRequest(TargetRequest[StopAnswer], verb="stop", answer=StopAnswer, repeat=LOOK_FIRST):
    """End jobs: those that are named, with `all` every one that goes on, else the one that does."""

    jobs: Tuple[str, ...] = fields.names(default=())
    all: bool = fields.flag(default=False)


class AttachAnswer(Struct):
    """The command that shows the terminal of a job's worker, or of a shell, to be run on its server."""

    id: str = fields.job_id()
    argv: Tuple[str, ...] = fields.list_of(fields.text(NAME, _PLAIN_WORD), 100)


class AttachRequest(TargetRequest[AttachAnswer], verb="attach", answer=AttachAnswer):
    """Tell how a job's terminal is shown in one of the kind `terminal`: a value of TERM."""

    job: str = fields.text(NAME)
    terminal: str = fields.text(NAME, default="")


class LogAnswer(Struct):
    """A piece of a log, or nothing new; the last one has the job's `status`."""

    id: str = fields.job_id()
    offset: int = fields.integer(0, 1 << 62)
    """The byte that the next piece begins at."""
    text: str = fields.text(MESSAGE, default="")
    status: Optional[JobStatus] = fields.optional(fields.nested(JobStatus), default=None)


class LogRequest(TargetRequest[LogAnswer], verb="log", answer=LogAnswer, public=True):
    """Send the log from byte `offset` on; with `wait`, until the job has ended.

    `tail` above 0 leaves out all but that many last lines of what is there now, `since` what is
    older than so many seconds, `most` all but so many last bytes, `silent` everything.
    """

    job: str = fields.text(NAME)
    offset: int = fields.integer(0, 1 << 62, default=0)
    wait: bool = fields.flag(default=False)
    tail: int = fields.integer(0, 1 << 40, default=0)
    since: float = fields.number(0, 1e12, default=0.0)
    most: int = fields.integer(0, 1 << 40, default=0)
    silent: bool = fields.flag(default=False)
