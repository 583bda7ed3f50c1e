"""Which jobs a target has: all of them, those that go on, and the one that a user names."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import List, Optional

from remote.errors import JobError, ProtocolError
from remote.job.paths import ID_PATTERN, JobPaths, jobs_folder, live_folder
from remote.job.spec import Job

#: Letters of an id that tell when the job was submitted: 20261231-235959.
STAMP = 15


def every(root: Path) -> List[JobPaths]:
    """The folders of all jobs, the oldest first."""
    return _in_order(root, jobs_folder(root))


def _in_order(root: Path, folder: Path) -> List[JobPaths]:
    """The jobs that a folder names, in the order of their submission.

    An id tells the second; within it, job.json does, which is written once.
    """
    keyed = []
    for name in os.listdir(str(folder)) if folder.is_dir() else ():
        if ID_PATTERN.match(name):
            paths = JobPaths(root, name)
            with contextlib.suppress(OSError):
                written = os.stat(str(paths.job)).st_mtime_ns
                keyed.append(((name[:STAMP], written, name), paths))
    return [paths for _, paths in sorted(keyed, key=lambda pair: pair[0])]


def live(root: Path) -> List[JobPaths]:
    """The jobs that have not ended, as far as is known; the oldest first."""
    return _in_order(root, live_folder(root))


def find(root: Path, part: str) -> JobPaths:
    """The job whose id is, or alone contains, `part`; `last` is the newest; raises JobError."""
    jobs = every(root)
    if not jobs:
        raise JobError("There is no job on this target yet.", "Start one: inv remote-run NOTEBOOK")
    if part in ("", "last"):
        return jobs[-1]
    exact = [paths for paths in jobs if paths.id == part]
    matching = exact or [paths for paths in jobs if part in paths.id]
    if len(matching) == 1:
        return matching[0]
    if not matching:
        raise JobError(f"There is no job {part!r} on this target.", "inv remote-ps lists them.")
    names = ", ".join(paths.id for paths in matching[-5:])
    raise JobError(f"{part!r} is in the ids of {len(matching)} jobs.", f"Say more of it: {names}")


def job_of(paths: JobPaths) -> Optional[Job]:
    """What was asked of a job; None where its folder is half made, or half removed."""
    try:
        return Job.from_file(paths.job)
    except ProtocolError:
        return None


def forget(paths: JobPaths) -> None:
    """Take a job from the list of those that have not ended."""
    with contextlib.suppress(FileNotFoundError):
        paths.live.unlink()
