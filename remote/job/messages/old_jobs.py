"""Jobs that have ended: removed, told of, and compared."""

from __future__ import annotations

from typing import Any, Mapping, Tuple

from remote.job import fields
from remote.job.fields import DIFF, MANY, MESSAGE, NAME, VALUE, VERY_MANY, WORD
from remote.job.messages.base import LOOK_FIRST, SAME_TWICE, TargetRequest
from remote.job.spec import Job
from remote.job.status import JobStatus
from remote.job.struct import Struct

#: Lines of a comparison of code.
DIFF_LINES = 200_000


class RemoveAnswer(Struct):
    """The ids of what went, and the bytes that this freed."""

    removed: Tuple[str, ...] = fields.list_of(fields.job_id(), VERY_MANY)
    bytes: int = fields.integer(0, 1 << 62)


class RemoveRequest(
    TargetRequest[RemoveAnswer], verb="remove", answer=RemoveAnswer, repeat=LOOK_FIRST
):
    """Remove the folders of ended jobs; without `force`, only of those that were `pulled`."""

    jobs: Tuple[str, ...] = fields.names()
    pulled: Tuple[str, ...] = fields.names(default=())
    force: bool = fields.flag(default=False)


class PruneAnswer(Struct):
    """What went, or would go. `kept` are jobs of that age that were not pulled, `unfetched` those
    that hold files which no pull brings."""

    jobs: Tuple[str, ...] = fields.list_of(fields.job_id(), VERY_MANY)
    kept: Tuple[str, ...] = fields.list_of(fields.job_id(), VERY_MANY)
    unfetched: Tuple[str, ...] = fields.list_of(fields.job_id(), VERY_MANY)
    environments: Tuple[str, ...] = fields.names()
    backups: Tuple[str, ...] = fields.names()
    bytes: int = fields.integer(0, 1 << 62)
    unfinished: int = fields.integer(0, 1 << 62, default=0)
    """The bytes that cut transfers and processes that were killed had left."""
    downloads: int = fields.integer(0, 1 << 62, default=0)
    """Those of uv's downloads that no environment uses."""
    remarks: Tuple[str, ...] = fields.list_of(fields.text(MESSAGE), MANY, default=())
    """What can't be freed, and why."""


class PruneRequest(TargetRequest[PruneAnswer], verb="prune", answer=PruneAnswer, repeat=SAME_TWICE):
    """Remove what was of no use for `older` seconds: jobs, environments, backups."""

    older: float = fields.number(0, 1e12)
    pulled: Tuple[str, ...] = fields.names(default=())
    force: bool = fields.flag(default=False)
    dry_run: bool = fields.flag(default=False)
    python: str = fields.text(NAME, default="")
    """The versions of Python that the project allows: its environment is one that is used."""
    extras: Tuple[str, ...] = fields.list_of(fields.text(NAME), MANY, default=())
    environment: str = fields.text(64, WORD, default="")
    environment_source: str = fields.text(NAME, default="")
    torch_backend: str = fields.text(64, WORD, default="")
    """By these, as a job has them, the next jobs' environment is known."""
    now: float = fields.moment(default=0.0)
    """What the laptop's clock says."""


class UnpulledAnswer(Struct):
    """What a job's code wrote where no pull brings it from, in bytes by path."""

    id: str = fields.job_id()
    files: Mapping[str, int] = fields.mapping_of(
        fields.integer(0, 1 << 62), VERY_MANY, key=fields.path()
    )
    ended: bool = fields.flag(default=True)
    """Whether that is as the job left it, and not as it is while it writes."""


class UnpulledRequest(TargetRequest[UnpulledAnswer], verb="unpulled", answer=UnpulledAnswer):
    """Tell what a job has of that beside what was `brought`, which is not told of any more."""

    job: str = fields.text(NAME)
    brought: Tuple[str, ...] = fields.names(default=())


class AccountAnswer(Struct):
    """All that is recorded of a job. `diff` is its code beyond the git commit, `folder` where the
    code lies that it began with."""

    job: Job = fields.nested(Job)
    status: JobStatus = fields.nested(JobStatus)
    diff: str = fields.text(DIFF, default="")
    folder: str = fields.choice("code", "pristine", default="code")


class AccountRequest(TargetRequest[AccountAnswer], verb="account", answer=AccountAnswer):
    """Tell all that is recorded of a job."""

    job: str = fields.text(NAME)


class Change(Struct):
    """What differs between two jobs. None: it isn't there."""

    name: str = fields.text(NAME)
    before: Any = fields.any_json(VALUE, default=None)
    after: Any = fields.any_json(VALUE, default=None)


class DifferencesAnswer(Struct):
    """How the second of two jobs differs from the first."""

    ids: Tuple[str, ...] = fields.list_of(fields.job_id(), 2)
    asked: Tuple[Change, ...] = fields.list_of(fields.nested(Change), 10 * MANY)
    became: Tuple[Change, ...] = fields.list_of(fields.nested(Change), 10 * MANY)
    packages: Tuple[Change, ...] = fields.list_of(fields.nested(Change), 10 * MANY)
    """Of the lock file."""
    code: Tuple[str, ...] = fields.list_of(fields.text(VALUE + 1), DIFF_LINES + 1)
    """The lines of a unified diff."""


class DifferencesRequest(
    TargetRequest[DifferencesAnswer], verb="differences", answer=DifferencesAnswer
):
    """Compare two jobs of a target."""

    before: str = fields.text(NAME)
    after: str = fields.text(NAME)


class FreeAnswer(Struct):
    """Files that may go, or went, in bytes by path; `bytes` are those that this freed."""

    files: Mapping[str, int] = fields.mapping_of(
        fields.integer(0, 1 << 62), VERY_MANY, key=fields.path()
    )
    bytes: int = fields.integer(0, 1 << 62, default=0)
    changed: Mapping[str, int] = fields.mapping_of(
        fields.integer(0, 1 << 63), VERY_MANY, key=fields.path(), default={}
    )
    """Of files that may go, the inode's last change (ctime) in nanoseconds: no copy has the same, and
    what both sides reach on one disk has."""


class FreeRequest(TargetRequest[FreeAnswer], verb="free", answer=FreeAnswer, repeat=SAME_TWICE):
    """Remove artifacts and results of `older` seconds that are the asker's too, by the SHA-256 of each;
    without sums, tell which may be asked for. What goes on keeps what it has."""

    older: float = fields.number(0, 1e12)
    now: float = fields.moment(default=0.0)
    """What the laptop's clock says."""
    outputs: Tuple[str, ...] = fields.list_of(fields.path(), MANY, default=())
    """The folders of results."""
    sums: Mapping[str, str] = fields.mapping_of(
        fields.text(64, fields.HEX), VERY_MANY, key=fields.path(), default={}
    )
