"""What keeps a push whole: others wait for it, and what changes here while it is sent is found."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager
from pathlib import Path

from remote.config import Project
from remote.files import SILENT, locked
from remote.folders import statuses
from remote.job.messages.target import TreeRequest
from remote.job.tree import COPY, waiting_for
from remote.output import say
from remote.session import TargetSession, project_id
from remote.transport import rsync
from remote.transport.rsync_tally import Tally

#: The lock of a project's pushes, below its `.remote`.
LOCK = "push.lock"

#: So many files and folders are looked at for changes: more take longer than it spares.
MANY = 15_000

#: Seconds between two looks whether the lock on the tree there is free.
PAUSE = 0.2


def push_lock(project: Project) -> AbstractContextManager[None]:
    """What keeps this project's other pushes waiting."""
    return locked(project.state / LOCK, "another push of this project")


def when_free(server: TargetSession, run: Callable[[], Tally]) -> Tally:
    """Run it once nobody else holds the lock on the tree there; who does is told after a second.

    A push that holds it and is dead is ended.
    """
    start, is_told = time.monotonic(), False
    while True:
        try:
            return run()
        except rsync.Busy as busy:
            if not is_told and time.monotonic() - start > SILENT:
                say(waiting_for(busy.stamp))
                is_told = True
            if is_told:
                copy = project_id(server.project)[:COPY]
                server.agent.call(TreeRequest(key=server.key, copy=copy))
        time.sleep(PAUSE)


def moment(project: Project) -> int:
    """The time by the clock of the project's file system, in nanoseconds; to be asked under the
    push lock."""
    file = project.state / LOCK
    os.utime(file)
    return file.stat().st_mtime_ns


def changed_since(moment: int, root: Path, names: Iterable[str]) -> list[str]:
    """Those of the files that are part of a job's copy of the code and were changed since."""
    code = (name for name in names if not is_data(name))
    return [name for name, status in statuses(root, code) if status.st_ctime_ns > moment]


def is_data(name: str) -> bool:
    """Whether it is no part of a job's copy of the code."""
    return name.startswith("data/")


def outlast(project: Project, sent: Iterable[str]) -> None:
    """Wait until the second is over in which a sent file was written, one second at most.

    rsync takes files of the same size and second for the same: an edit that follows at once, by a
    script, would stay here.
    """
    now, since = time.time(), (project.state / LOCK).stat().st_mtime
    if int(now) > since:
        # Code that was written since the push began was sent once more: by then, or in this second.
        sent = filter(is_data, sent)
    times = (status.st_mtime for _, status in statuses(project.root, sent))
    newest = max((written for written in times if written <= now), default=0.0)
    time.sleep(max(0.0, int(newest) + 1 - now))


def is_unchanged(root: Path, since: int, left: Collection[str]) -> bool:
    """Whether nothing in a project was changed since that moment, as far as can be told quickly.

    What is hidden doesn't count, nor what lies in the folders `left`.
    """
    count, folders = 0, [""]
    with contextlib.suppress(OSError):
        while folders and root.stat().st_ctime_ns <= since:
            folder = folders.pop()
            with os.scandir(root / folder) as entries:
                for entry in entries:
                    name, count = folder + entry.name, count + 1
                    if entry.name.startswith(".") and entry.is_dir() or name in left:
                        continue
                    status = entry.stat(follow_symlinks=False)
                    if count > MANY or status.st_ctime_ns > since:
                        return False
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(f"{name}/")
        return not folders
    return False
