"""Submissions that the server has not answered: their ids are made here before they are sent, and kept
until it has. The same command, typed again, asks with the same id what became of it."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import secrets
import time
from pathlib import Path
from typing import IO, Any

from remote.files import try_lock

#: Below the project's `.remote`: a file of 64 letters for each submission that goes on or broke off.
FOLDER = "requests"

#: Seconds after which a command that is typed again is no longer taken for the same one.
LONGEST = 86400.0


class PendingSubmission:
    """One submission, by the `id` that the server knows it by; another process leaves it alone."""

    def __init__(self, file: IO[str], *, is_repeated: bool) -> None:
        self._file = file
        self.id = Path(file.name).name
        self.is_repeated = is_repeated
        """Whether it was sent before, and not answered."""

    @classmethod
    def of(cls, state: Path, command: Any) -> PendingSubmission:
        """That of a `command` (as JSON) which was sent before and not answered, or else a new one."""
        digest = hashlib.sha256(json.dumps(command, sort_keys=True).encode()).hexdigest()
        folder = state / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            # It may be answered at this moment, by its own process.
            with contextlib.suppress(FileNotFoundError):
                file = path.open("r+")
                if try_lock(file, fcntl.LOCK_EX) and path.exists():
                    if path.stat().st_mtime < time.time() - LONGEST:
                        path.unlink()
                    elif file.read() == digest:
                        return cls(file, is_repeated=True)
                file.close()
        file = (folder / secrets.token_hex(16)).open("x")
        try_lock(file, fcntl.LOCK_EX)
        file.write(digest)
        file.flush()
        return cls(file, is_repeated=False)

    def answered(self) -> None:
        """Forget it: the same command means another job from now on."""
        Path(self._file.name).unlink(missing_ok=True)
        self._file.close()
