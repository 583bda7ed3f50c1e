"""Jobs that have ended: removed, told of, and compared."""

from __future__ import annotations

from typing import Any, Mapping, Tuple

from remote.job.fields import (
    DIFF,
    MANY,
    NAME,
    VALUE,
    VERY_MANY,
    any_json,
    flag,
    integer,
    job_id,
    list_of,
    mapping_of,
    names,
    nested,
    number,
    text,
)
from remote.job.messages.base import TargetRequest
from remote.job.spec import Job
from remote.job.status import JobStatus
from remote.job.struct import Struct

#: Lines of a comparison of code.
DIFF_LINES = 200_000


class RemoveAnswer(Struct):
    """The ids of what went, and the bytes that this freed."""

    removed: Tuple[str, ...] = list_of(job_id(), VERY_MANY)
    bytes: int = integer(0, 1 << 62)


class RemoveRequest(TargetRequest[RemoveAnswer], verb="remove", answer=RemoveAnswer):
    """Remove the folders of ended jobs; without `force`, only of those that were `pulled`."""

    jobs: Tuple[str, ...] = names()
    pulled: Tuple[str, ...] = names(default=())
    force: bool = flag(default=False)


class PruneAnswer(Struct):
    """What went, or would go. `kept` are jobs of that age that were not pulled, `unfetched` those
    that hold files which no pull brings."""

    jobs: Tuple[str, ...] = list_of(job_id(), VERY_MANY)
    kept: Tuple[str, ...] = list_of(job_id(), VERY_MANY)
    unfetched: Tuple[str, ...] = list_of(job_id(), VERY_MANY)
    environments: Tuple[str, ...] = names()
    backups: Tuple[str, ...] = names()
    bytes: int = integer(0, 1 << 62)


class PruneRequest(TargetRequest[PruneAnswer], verb="prune", answer=PruneAnswer):
    """Remove what was of no use for `older` seconds: jobs, environments, backups."""

    older: float = number(0, 1e12)
    pulled: Tuple[str, ...] = names(default=())
    force: bool = flag(default=False)
    dry_run: bool = flag(default=False)
    python: str = text(NAME, default="")
    """The versions of Python that the project allows: its environment is one that is used."""


class UnpulledAnswer(Struct):
    """What a job's code wrote where no pull brings it from, in bytes by path."""

    id: str = job_id()
    files: Mapping[str, int] = mapping_of(integer(0, 1 << 62), VERY_MANY, key=text(NAME))


class UnpulledRequest(TargetRequest[UnpulledAnswer], verb="unpulled", answer=UnpulledAnswer):
    """Tell what a job has of that beside what was `brought`, which is not told of any more."""

    job: str = text(NAME)
    brought: Tuple[str, ...] = names(default=())


class AccountAnswer(Struct):
    """All that is recorded of a job. `diff` is its code beyond the git commit."""

    job: Job = nested(Job)
    status: JobStatus = nested(JobStatus)
    diff: str = text(DIFF, default="")


class AccountRequest(TargetRequest[AccountAnswer], verb="account", answer=AccountAnswer):
    """Tell all that is recorded of a job."""

    job: str = text(NAME)


class Change(Struct):
    """What differs between two jobs. None: it isn't there."""

    name: str = text(NAME)
    before: Any = any_json(VALUE, default=None)
    after: Any = any_json(VALUE, default=None)


class DifferencesAnswer(Struct):
    """How the second of two jobs differs from the first."""

    ids: Tuple[str, ...] = list_of(job_id(), 2)
    asked: Tuple[Change, ...] = list_of(nested(Change), 10 * MANY)
    became: Tuple[Change, ...] = list_of(nested(Change), 10 * MANY)
    packages: Tuple[Change, ...] = list_of(nested(Change), 10 * MANY)
    """Of the lock file."""
    code: Tuple[str, ...] = list_of(text(VALUE + 1), DIFF_LINES + 1)
    """The lines of a unified diff."""


class DifferencesRequest(
    TargetRequest[DifferencesAnswer], verb="differences", answer=DifferencesAnswer
):
    """Compare two jobs of a target."""

    before: str = text(NAME)
    after: str = text(NAME)
