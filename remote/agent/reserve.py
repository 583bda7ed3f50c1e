"""Room for the end of a job, set aside when it begins, so that a full disk loses no end.

The last status is written over a file that has its blocks already, and takes the name of status.json
with it: nobody can take its place. Whatever else is written then (a line of the log, SQLite's journal
and rows, names of files) finds the room of other files, which are removed just before.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import List, Optional

from remote.errors import JobError, ProtocolError
from remote.files import FULL, overwrite
from remote.job.paths import ARTIFACTS, STORE, JobPaths
from remote.job.status import ENDED, JobStatus

#: Bytes for the last status, and for everything else: SQLite's journal takes 80 kB where a job with
#: three hundred runs ends.
STATUS, ROOM = 16 << 10, 512 << 10

#: Bytes free below which a disk counts as full.
LEAST = 1 << 20


def set_aside(paths: JobPaths) -> None:
    """Take the room; raises JobError where there is none."""
    try:
        _fill(paths.end, STATUS)
        for file in _files(paths):
            _fill(file, ROOM)
    except OSError as error:
        free(paths)
        with contextlib.suppress(OSError):
            paths.end.unlink()
        # Where nothing can be written beside a store, nothing can be recorded in it either.
        if error.errno in FULL:
            raise JobError(
                f"The server's disk is full: {error.filename or paths.root}",
                "Make room on it: inv remote-prune --older 30d",
            ) from error


def _fill(file: Path, size: int) -> None:
    """Write what no file system compresses to nothing; those of a network tell of a full disk late."""
    with open(str(file), "wb") as out:
        try:
            out.write(os.urandom(size))
            out.flush()
            os.fsync(out.fileno())
        except OSError as error:
            error.filename = str(file)
            raise
    os.chmod(str(file), 0o644)


def _files(paths: JobPaths) -> List[Path]:
    """One on the job's disk, and one on those of the target's store and of its artifacts, where a
    link leads to another."""
    files = {os.stat(str(paths.folder)).st_dev: paths.reserve}
    store, artifacts = (
        Path(os.path.realpath(str(paths.root / name))) for name in (STORE, ARTIFACTS)
    )
    for folder in (store.parent, artifacts):
        with contextlib.suppress(FileNotFoundError):
            files.setdefault(folder.stat().st_dev, folder / f".remote-{paths.id}.reserve")
    return list(files.values())


def free(paths: JobPaths) -> None:
    """Give the room back, for what is to be written now."""
    with contextlib.suppress(FileNotFoundError):
        for file in _files(paths):
            with contextlib.suppress(OSError):
                file.unlink()


def note(paths: JobPaths, status: JobStatus) -> None:
    """Write down how a job ended; what is still to be done may fail, or be cut off."""
    # Without such a file, or the right to it, that has to do without.
    with contextlib.suppress(OSError):
        overwrite(paths.end, json.dumps(status.to_json()).encode("ascii"))


def noted(paths: JobPaths) -> Optional[JobStatus]:
    """How a job ended, as far as its worker came to say it."""
    with contextlib.suppress(ProtocolError):
        status = JobStatus.from_file(paths.end)
        return status if status and status.state in ENDED else None
    return None


def publish(paths: JobPaths, status: JobStatus) -> None:
    """Have a last status be the job's; raises OSError."""
    if paths.end.exists():
        overwrite(paths.end, json.dumps(status.to_json()).encode("ascii"))
        os.replace(str(paths.end), str(paths.status))
    else:
        status.to_file(paths.status)


def is_full(folder: Path) -> bool:
    """Whether the disk of a folder is as good as full."""
    with contextlib.suppress(OSError):
        disk = os.statvfs(str(folder))
        return disk.f_bavail * disk.f_frsize < LEAST
    return False
