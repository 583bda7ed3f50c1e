"""The folders of a target's jobs: found, and read."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from pathlib import Path
from typing import Iterable, Iterator, List, Optional

from remote.errors import JobError, ProtocolError
from remote.files import is_absent
from remote.job.paths import ID_PATTERN, JobPaths, jobs_folder, live_folder
from remote.job.spec import Job
from remote.job.status import QUEUED, UNKNOWN, JobStatus

#: Letters of an id that tell when the job was submitted: 20261231-235959.
STAMP = 15
STAMP_FORMAT = "%Y%m%d-%H%M%S"
STAMP_PATTERN = re.compile(r"\d{8}-\d{6}-")


def every(root: Path) -> List[JobPaths]:
    """The folders of all jobs, the oldest first."""
    return list(newest_first(root))[::-1]


def newest_first(root: Path) -> Iterator[JobPaths]:
    """The folders of all jobs, each looked at when it is asked for."""
    return _submitted(root, reversed(_ids(root, jobs_folder(root))))


def live(root: Path) -> List[JobPaths]:
    """The jobs that have not ended, as far as is known; the oldest first."""
    return list(_submitted(root, _ids(root, live_folder(root))))


def _named(root: Path, part: str) -> List[JobPaths]:
    """The folders of the jobs whose ids contain `part`, the oldest first; others aren't looked at."""
    return list(_submitted(root, _ids(root, jobs_folder(root), part)))


def _ids(root: Path, folder: Path, part: str = "") -> List[str]:
    """The ids of jobs that a folder names, in the order of their submission.

    An id tells that, and no clock sets it back; within a second, job.json does, which is written
    once.
    """
    all_names = [] if is_absent(folder) else os.listdir(str(folder))
    names = sorted(name for name in all_names if part in name and ID_PATTERN.match(name))
    seconds = itertools.groupby(names, lambda name: name[:STAMP])
    ordered: List[str] = []
    for _, within in seconds:
        same = list(within)
        if len(same) > 1:
            same.sort(key=lambda name: (_written(JobPaths(root, name)) or 0, name))
        ordered += same
    return ordered


def _submitted(root: Path, names: Iterable[str]) -> Iterator[JobPaths]:
    """Those whose folder isn't half made, or half removed."""
    jobs = (JobPaths(root, name) for name in names)
    return (paths for paths in jobs if _written(paths) is not None)


def _written(paths: JobPaths) -> Optional[int]:
    """When job.json was written, in nanoseconds; None where there is none."""
    try:
        return os.stat(str(paths.job)).st_mtime_ns
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        # Its status says what is wrong with it.
        return 0


def find(root: Path, part: str) -> JobPaths:
    """The job whose id is, or alone contains, `part`; `last` is the newest; raises JobError."""
    is_newest = part in ("", "last")
    jobs = list(itertools.islice(newest_first(root), 1)) if is_newest else _named(root, part)
    matching = [paths for paths in jobs if paths.id == part] or jobs
    if len(matching) == 1:
        return matching[0]
    if not matching and next(newest_first(root), None) is None:
        raise JobError("There is no job on this target yet.", "Start one: inv remote-run NOTEBOOK")
    if not matching:
        raise JobError(f"There is no job {part!r} on this target.", "inv remote-ps lists them.")
    names = ", ".join(paths.id for paths in matching[-5:])
    raise JobError(f"{part!r} is in the ids of {len(matching)} jobs.", f"Type more of it: {names}")


def of_sweep(root: Path, sweep: str) -> List[JobPaths]:
    """The jobs of a sweep, which is named by its whole id."""
    return [paths for paths in _named(root, sweep) if getattr(job_of(paths), "sweep", "") == sweep]


def forget(paths: JobPaths) -> None:
    """Take a job from the list of those that have not ended; where that can't be written, whoever
    looks next does."""
    with contextlib.suppress(OSError):
        paths.live.unlink()


def job_of(paths: JobPaths) -> Optional[Job]:
    """What was asked of a job; None where its folder is half made, or half removed."""
    try:
        return Job.from_file(paths.job)
    except ProtocolError:
        return None


def read_status(paths: JobPaths) -> JobStatus:
    """What status.json says."""
    try:
        return JobStatus.from_file(paths.status) or JobStatus(QUEUED)
    except ProtocolError as error:
        # A newer version's, perhaps: not to be replaced by what this one makes of it.
        return JobStatus(UNKNOWN, cause=error.message)
