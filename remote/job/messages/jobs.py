"""Verbs on the jobs of a target. Jobs are named by their id, a unique part of it, or `last`."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from typing import Any, Mapping, Optional, Tuple

from remote.job.fields import (
    any_json,
    flag,
    integer,
    list_of,
    mapping_of,
    nested,
    number,
    optional,
    text,
)
from remote.job.limits import (
    MANY,
    MESSAGE,
    NAME,
    VALUE,
    VERY_MANY,
    WORD,
    job_id,
    moment,
)
from remote.job.messages.base import Request, target_key
from remote.job.messages.target import Machine
from remote.job.spec import Job, JobSpec
from remote.job.status import JobStatus, Progress

#: What a message about a job may hold of its code beyond the commit, in characters.
DIFF = 16 << 20

#: Lines of a comparison of code.
DIFF_LINES = 200_000

#: What follows may be asked of the folder of one job, or of all.
_NAMES = list_of(text(NAME), VERY_MANY)
_IDS = list_of(job_id(), VERY_MANY)


@dataclass(frozen=True)
class SubmitAnswer:
    """A job that was accepted, or what has to be brought first: `need` is `uv` or `proxy`."""

    id: str = field(default="", metadata=job_id())
    environment_ready: bool = field(default=False, metadata=flag())
    need: str = field(default="", metadata=text(16, WORD))
    platform: Optional[Machine] = field(default=None, metadata=optional(nested(Machine)))
    """What a uv that is brought must have been built for."""


@dataclass(frozen=True)
class SubmitRequest(Request[SubmitAnswer]):
    """Start a job. A service that goes on already is answered in the place of a second one."""

    verb = "submit"
    answer = SubmitAnswer

    key: str = field(metadata=target_key())
    job: JobSpec = field(metadata=nested(JobSpec))
    launcher: str = field(default="", metadata=text(64, WORD))
    """Its row in remote.agent.launchers; empty is the usual one."""
    launcher_setting: str = field(default="", metadata=text(NAME))
    """What the user's settings say for it: the name of the tmux server that is to hold the job."""
    diff: str = field(default="", metadata=text(DIFF))
    """What the pushed code has beyond its git commit."""
    offline: bool = field(default=False, metadata=flag())
    """Whether an environment is to be made through the laptop; `need` asks for that."""
    proxy: str = field(default="", metadata=text(NAME))
    """Where the laptop is reached for that: an address with a password in it."""


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
    jobs: Tuple[str, ...] = field(default=(), metadata=_NAMES)


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


#: A word of a command line that every shell takes as it is, inside single quotes.
_PLAIN_WORD = re.compile(r"[A-Za-z0-9_.,:/=@%+-]+")


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


@dataclass(frozen=True)
class RemoveAnswer:
    """The ids of what went, and the bytes that this freed."""

    removed: Tuple[str, ...] = field(metadata=_IDS)
    bytes: int = field(metadata=integer(0, 1 << 62))


@dataclass(frozen=True)
class RemoveRequest(Request[RemoveAnswer]):
    """Remove the folders of ended jobs; without `force`, only of those that were `pulled`."""

    verb = "remove"
    answer = RemoveAnswer

    key: str = field(metadata=target_key())
    jobs: Tuple[str, ...] = field(metadata=_NAMES)
    pulled: Tuple[str, ...] = field(default=(), metadata=_NAMES)
    force: bool = field(default=False, metadata=flag())


@dataclass(frozen=True)
class PruneAnswer:
    """What went, or would go. `kept` are jobs of that age that were not pulled."""

    jobs: Tuple[str, ...] = field(metadata=_IDS)
    kept: Tuple[str, ...] = field(metadata=_IDS)
    environments: Tuple[str, ...] = field(metadata=_NAMES)
    backups: Tuple[str, ...] = field(metadata=_NAMES)
    bytes: int = field(metadata=integer(0, 1 << 62))


@dataclass(frozen=True)
class PruneRequest(Request[PruneAnswer]):
    """Remove what was of no use for `older` seconds: jobs, environments, backups."""

    verb = "prune"
    answer = PruneAnswer

    key: str = field(metadata=target_key())
    older: float = field(metadata=number(0, 1e12))
    pulled: Tuple[str, ...] = field(default=(), metadata=_NAMES)
    force: bool = field(default=False, metadata=flag())
    dry_run: bool = field(default=False, metadata=flag())


@dataclass(frozen=True)
class AccountAnswer:
    """All that is recorded of a job. `diff` is its code beyond the git commit."""

    job: Job = field(metadata=nested(Job))
    status: JobStatus = field(metadata=nested(JobStatus))
    diff: str = field(default="", metadata=text(DIFF))


@dataclass(frozen=True)
class AccountRequest(Request[AccountAnswer]):
    """Tell all that is recorded of a job."""

    verb = "account"
    answer = AccountAnswer

    key: str = field(metadata=target_key())
    job: str = field(metadata=text(NAME))


@dataclass(frozen=True)
class Change:
    """What differs between two jobs. None: it isn't there."""

    name: str = field(metadata=text(NAME))
    before: Any = field(default=None, metadata=any_json(VALUE))
    after: Any = field(default=None, metadata=any_json(VALUE))


_CHANGES = list_of(nested(Change), 10 * MANY)


@dataclass(frozen=True)
class DifferencesAnswer:
    """How the second of two jobs differs from the first."""

    ids: Tuple[str, ...] = field(metadata=list_of(job_id(), 2))
    asked: Tuple[Change, ...] = field(metadata=_CHANGES)
    became: Tuple[Change, ...] = field(metadata=_CHANGES)
    packages: Tuple[Change, ...] = field(metadata=_CHANGES)
    """Of the lock file."""
    code: Tuple[str, ...] = field(metadata=list_of(text(VALUE), DIFF_LINES + 1))
    """The lines of a unified diff."""


@dataclass(frozen=True)
class DifferencesRequest(Request[DifferencesAnswer]):
    """Compare two jobs of a target."""

    verb = "differences"
    answer = DifferencesAnswer

    key: str = field(metadata=target_key())
    before: str = field(metadata=text(NAME))
    after: str = field(metadata=text(NAME))
