"""Which job makes an environment, where several machines share its disk and no lock holds among them.

Claims are files that are numbered, `<name>.maker-1` and on: to make one that isn't there succeeds
for one alone, and the last of them counts. Whether the job that it names still works is its
launcher's to say; where it doesn't, the next number is free.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import List, Optional

from remote.agent import launchers
from remote.errors import ProtocolError
from remote.files import is_absent, read_json, write_json
from remote.job.paths import ID_PATTERN, JobPaths
from remote.job.status import ENDED, JobStatus


class Claim:
    """A job's right to make the environment in `folder`, of the target at `root`."""

    def __init__(self, root: Path, folder: Path, job: str) -> None:
        self._root, self._folder, self._job = root, folder, job
        self._file: Optional[Path] = None

    def take(self) -> bool:
        """Take it, unless another job that still works has it; whether it is ours."""
        if self._file is None:
            numbers = sorted(self._numbers())
            last = numbers[-1] if numbers else 0
            holder = read_json(self._at(last)) if last else None
            if last and (holder is None or self._works(str(holder["job"]))):
                return False
            self._make(self._at(last + 1))
        return self._file is not None

    def leave(self, *, is_made: bool) -> None:
        """Let others have it. Once the environment is made, nobody needs any."""
        files = [self._at(number) for number in self._numbers()] if is_made else [self._file]
        for file in filter(None, files):
            with contextlib.suppress(OSError):
                file.unlink()
        self._file = None

    def _numbers(self) -> List[int]:
        files = self._folder.parent.glob(f"{self._folder.name}.maker-*")
        ends = (file.name.rpartition("-")[2] for file in files)
        return [int(end) for end in ends if end.isdigit()]

    def _at(self, number: int) -> Path:
        return self._folder.with_name(f"{self._folder.name}.maker-{number}")

    def _make(self, file: Path) -> None:
        """Make the file with its content at once: a link succeeds for one alone, on any disk."""
        new = self._folder.with_name(f".maker-{os.urandom(8).hex()}")
        write_json(new, {"job": self._job})
        try:
            os.link(str(new), str(file))
            self._file = file
        except FileExistsError:
            # Another was faster.
            pass
        finally:
            new.unlink()

    def _works(self, job: str) -> bool:
        """Whether another job may still be making it: its worker lives, and doesn't wait to begin
        again. Of our own job, a life before this one had claimed it."""
        if job == self._job or not ID_PATTERN.match(job):
            return False
        paths = JobPaths(self._root, job)
        if is_absent(paths.job):
            return False
        try:
            status = JobStatus.from_file(paths.status)
        except ProtocolError:
            return True
        if status is not None and status.state in ENDED:
            return False
        launched = launchers.read(paths, status.worker if status else None)
        return launched is None or (launched.alive() is not False and not launched.waiting())
