"""The queue of jobs that wait for GPUs of this machine, in files that all users share.

    remote-gpu-<submitted, in ns, 20 digits>-<8 hexadecimal digits>.ticket

Who waits for something else has another word in the place of `gpu`, and is in another line. The names tell the order. A ticket lives as long as its waiter holds the lock on it; one that can be
locked was left by a dead waiter and is passed over. It gets its name when it is locked already, so
it is never seen without its lock.

Whoever makes a ticket chooses its name. So a ticket is told under the owner of its file, and stands
before those alone that came after the process that holds it, which the kernel knows.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import re
import time
from pathlib import Path
from typing import List, Optional, Tuple

from remote.agent.gpus import lock_files
from remote.agent.gpus.lock_owners import LockOwners, age
from remote.agent.processes import PROC, uptime, user_name
from remote.errors import JobError, ProtocolError
from remote.job.messages.gpus import WaitingJob

NAME = re.compile(r"remote-([a-z]+)-(\d{20})-[0-9a-f]{8}\.ticket\Z")
_LIMIT = 1 << 16

#: Seconds by which a job's worker may start after another one's that was submitted later.
SLOW = 60.0


def waiting(folder: Path, kind: str = "gpu") -> List[WaitingJob]:
    """All that wait for GPUs (or what else `kind` says) of this machine, the first one first."""
    requests = []
    for name in _names(folder, kind):
        with contextlib.suppress(OSError, lock_files.RefusedError):
            with lock_files.open_plain(folder / name) as file:
                if not lock_files.is_free(file):
                    requests.append(_read(file, name))
    return requests


class Ticket:
    """A place in the queue, kept until it is closed or its process dies."""

    def __init__(self, folder: Path, request: WaitingJob, kind: str = "gpu") -> None:
        self.folder = folder
        self.kind = kind
        self.request = request
        self._joined = uptime()
        self._front: Optional[io.FileIO] = None
        self.place = 0
        """How many were before us at the last look."""
        self._path, self._file = _make(folder, request, kind)

    def before(self) -> int:
        """How many living jobs are before us that want what we want; 0 means that it is our turn.

        As long as the one who was first lives, nothing else is looked at, however many wait.
        """
        if not lock_files.is_at(self._file, self._path):
            # Somebody deleted it. Our old place gets a new name: who found the old ticket dead,
            # once we close it, deletes it by its name.
            old = self._file
            self._path, self._file = _make(self.folder, self.request, self.kind)
            old.close()
        if self._front is None or lock_files.is_free(self._front):
            self._forget_front()
            self.place = 0
            owners = LockOwners(PROC)
            for name in _names(self.folder, self.kind):
                if name >= self._path.name:
                    break
                file = _living(self.folder / name)
                if file is not None and not (
                    self._wants_the_same(file, name) and self._was_before(file, name, owners)
                ):
                    file.close()
                elif file is not None:
                    self.place += 1
                    if self._front is None:
                        self._front = file
                    else:
                        file.close()
        return self.place

    def _was_before(self, file: io.FileIO, name: str, owners: LockOwners) -> bool:
        """Whether the ticket of an earlier name came before us. Of one whose process isn't told, as
        one in another container, its file tells. No job was submitted at time 0."""
        status = os.fstat(file.fileno())
        lived = age(owners.of(status)) or time.time() - status.st_ctime
        return _submitted(name) > 0 and lived + SLOW >= uptime() - self._joined

    def _wants_the_same(self, file: io.FileIO, name: str) -> bool:
        """Whether a ticket's waiter may take a card that we may take: others wait for nothing that
        we could keep from them."""
        own, theirs = set(self.request.cards), set(_read(file, name).cards)
        return not own or not theirs or not own.isdisjoint(theirs)

    def keep_fresh(self) -> None:
        """Let cleaners of /tmp see that the ticket is in use."""
        lock_files.keep_fresh(self._file)

    def close(self) -> None:
        """Leave the queue. A second time does nothing."""
        try:
            # While it is locked, so that nobody takes it for a dead one's.
            lock_files.delete(self._path)
        finally:
            self._file.close()
            self._forget_front()

    def _forget_front(self) -> None:
        if self._front is not None:
            self._front.close()
            self._front = None


def _names(folder: Path, kind: str) -> List[str]:
    matches = filter(None, map(NAME.match, os.listdir(str(folder))))
    return sorted(match[0] for match in matches if match[1] == kind)


def _make(folder: Path, request: WaitingJob, kind: str, tries: int = 20) -> Tuple[Path, io.FileIO]:
    name = f"remote-{kind}-{int(request.submitted * 1e9):020d}-{os.urandom(4).hex()}.ticket"
    temporary = folder / f"{name}.new"
    try:
        file = lock_files.make(temporary)
        try:
            file.write(json.dumps(request.to_json()).encode("ascii"))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.rename(str(temporary), str(folder / name))
        except BaseException:
            file.close()
            lock_files.delete(temporary)
            raise
    except OSError as error:
        if isinstance(error, FileNotFoundError) and tries and folder.is_dir():
            # Somebody who cleans deleted it before it had its name.
            return _make(folder, request, kind, tries - 1)
        raise JobError(
            f"The job can't join the queue for {kind.upper()}s in {folder}: {error.strerror}.",
            "All users must be able to create files in it, and its disk must not be full.",
        ) from error
    return folder / name, file


def _living(path: Path) -> Optional[io.FileIO]:
    """The open ticket of a living waiter; None where it is a dead one's, or no ticket of ours."""
    try:
        file = lock_files.open_plain(path)
        if not lock_files.is_free(file):
            return file
    except (OSError, lock_files.RefusedError):
        return None
    file.close()
    lock_files.delete(path)
    return None


def _submitted(name: str) -> float:
    return int(name.split("-")[2]) / 1e9


def _read(file: io.FileIO, name: str) -> WaitingJob:
    """What a ticket says, under its file's owner. Strangers can write any: of one that isn't ours,
    its place alone counts."""
    submitted, user = _submitted(name), user_name(os.fstat(file.fileno()).st_uid)
    try:
        content = json.loads(os.pread(file.fileno(), _LIMIT, 0))
        return WaitingJob.from_json({**content, "submitted": submitted, "user": user}, name)
    except (ValueError, TypeError, RecursionError, ProtocolError):
        return WaitingJob(submitted=submitted, user=user)
