"""What pulls replaced here: kept where it was the user's, and not for ever.

A file here that is as a pull brought it is nobody's work: the next pull's version takes its place.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from remote.agent.jobs.prune import BACKUP_AGE
from remote.config import Project
from remote.files import write_atomic
from remote.folders import bytes_in
from remote.job.fields import PATH
from remote.job.paths import STATE
from remote.session import TargetSession
from remote.transport.rsync_tally import Tally


@dataclass(frozen=True)
class PulledFiles:
    """`targets/<key>.files`: size and time of each file that pulls from a target brought.

    A line each, `<bytes> <nanoseconds> <path below the root>`; of a path's lines the last counts.
    """

    file: Path
    root: Path

    @classmethod
    def of(cls, server: TargetSession) -> PulledFiles:
        """Those of a session's target."""
        return cls(server.file.with_suffix(".files"), server.project.root)

    def drop_unchanged(self, tally: Tally, backup: Path) -> None:
        """Remove from a pull's backup what is as an earlier pull brought it, and from `replaced`."""
        before = self._read() if tally.replaced else {}
        for name in list(tally.replaced):
            if name in before and _state(backup, name) == before[name]:
                (backup / name).unlink()
                tally.replaced.remove(name)
        if backup.is_dir():
            for folder, _, _ in os.walk(backup, topdown=False):
                with contextlib.suppress(OSError):
                    Path(folder).rmdir()

    def add(self, names: Iterable[str]) -> None:
        """Note what a pull has brought."""
        states = ((name, _state(self.root, name)) for name in names)
        # A line break would begin a line of another path's.
        lines = [f"{state} {name}\n" for name, state in states if state and "\n" not in name]
        with open(self.file, "a", encoding="utf-8", errors="surrogateescape") as file:
            file.writelines(lines)

    def _read(self) -> dict[str, str]:
        try:
            text = self.file.read_text("utf-8", "surrogateescape")
        except FileNotFoundError:
            return {}
        # A pull that was killed may have left a line without its end.
        lines, states = text.split("\n")[:-1], {}
        for line in lines:
            size, changed, name = (*line.split(" ", 2), "", "")[:3]
            states[name] = f"{size} {changed}"
        if len(lines) > 2 * len(states):
            text = "".join(f"{state} {name}\n" for name, state in states.items())
            write_atomic(self.file, text.encode("utf-8", "surrogateescape"))
        return states


def _state(top: Path, name: str) -> str:
    """Size and time of a plain file below `top`; empty where it is none.

    The name is one that rsync told, and so perhaps the server's words: it may lead anywhere.
    """
    path = top / name
    if not re.fullmatch(PATH, name):
        return ""
    with contextlib.suppress(OSError):
        status = path.lstat()
        if path.is_file() and not path.is_symlink():
            return f"{status.st_size} {status.st_mtime_ns}"
    return ""


def new_backup() -> str:
    """The folder, below the project's root, for what a pull that begins now replaces."""
    return f"{STATE}/backup/pull-{time.strftime('%Y%m%d-%H%M%S')}"


def old_backups(project: Project, older: float) -> Iterator[tuple[Path, int]]:
    """The backups of pulls that were made so many seconds ago, a day at least, with their bytes."""
    older = max(older, BACKUP_AGE)
    for folder in sorted(project.state.glob("backup/pull-*")):
        if folder.is_dir() and folder.stat().st_mtime < time.time() - older:
            yield folder, bytes_in(folder)
