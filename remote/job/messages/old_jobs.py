"""Jobs that have ended: removed, told of, and compared."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Tuple

from remote.job.fields import any_json, flag, integer, list_of, nested, number, text
from remote.job.limits import DIFF, MANY, NAME, VALUE, VERY_MANY, job_id, names
from remote.job.messages.base import Request, target_key
from remote.job.spec import Job
from remote.job.status import JobStatus

#: Lines of a comparison of code.
DIFF_LINES = 200_000


_IDS = list_of(job_id(), VERY_MANY)


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
    jobs: Tuple[str, ...] = field(metadata=names())
    pulled: Tuple[str, ...] = field(default=(), metadata=names())
    force: bool = field(default=False, metadata=flag())


@dataclass(frozen=True)
class PruneAnswer:
    """What went, or would go. `kept` are jobs of that age that were not pulled."""

    jobs: Tuple[str, ...] = field(metadata=_IDS)
    kept: Tuple[str, ...] = field(metadata=_IDS)
    environments: Tuple[str, ...] = field(metadata=names())
    backups: Tuple[str, ...] = field(metadata=names())
    bytes: int = field(metadata=integer(0, 1 << 62))


@dataclass(frozen=True)
class PruneRequest(Request[PruneAnswer]):
    """Remove what was of no use for `older` seconds: jobs, environments, backups."""

    verb = "prune"
    answer = PruneAnswer

    key: str = field(metadata=target_key())
    older: float = field(metadata=number(0, 1e12))
    pulled: Tuple[str, ...] = field(default=(), metadata=names())
    force: bool = field(default=False, metadata=flag())
    dry_run: bool = field(default=False, metadata=flag())
    python: str = field(default="", metadata=text(NAME))
    """The versions of Python that the project allows: its environment is one that is used."""


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
