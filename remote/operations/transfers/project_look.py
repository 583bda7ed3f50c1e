"""What a push has to know of a project's files before it sends them, found in one look at them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from remote.config import ENVIRONMENT_MARKS
from remote.job import outputs
from remote.job.paths import STATE
from remote.operations.transfers.push_guard import is_data
from remote.secret_files import any_may_be_secret, may_be_secret
from remote.transport.rsync_filters import IgnoreFile

_Entries = list["os.DirEntry[str]"]


@dataclass(frozen=True)
class ProjectLook:
    """`likely` are files that are called like secrets. `moved` are files of code that came to their
    names since the last push, and are older: rsync may take one for another of its size and second.
    """

    likely: list[str] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)


def look(root: Path, declared: Sequence[str], *, since: int = 0, top: str = "") -> ProjectLook:
    """Look at all but data, what jobs write, environments and what the ignore file leaves here by its
    name, or at what is at and below `top`. `since` is the moment of the last push by the file system's
    clock, 0 without one. Raises ConfigError.
    """
    found = ProjectLook()
    if not (root / top).is_dir() and not is_data(top):
        found.likely.extend(filter(may_be_secret, [top]))
    for folder, names, entries, is_moved, is_old in _folders(root, declared, since, top):
        # One look for all of them: a large project has few such names.
        if any_may_be_secret(folder + "/".join(names)):
            files = (entry for entry in entries if not entry.is_dir(follow_symlinks=False))
            found.likely.extend(filter(may_be_secret, (folder + entry.name for entry in files)))
        # Whatever comes to a name, or goes, is a change to its folder.
        if since and (is_moved or not is_old):
            found.moved.extend(_moved(folder, entries, since, is_moved=is_moved))
    return found


def _folders(
    root: Path, declared: Sequence[str], since: int, top: str
) -> Iterator[tuple[str, list[str], _Entries, bool, bool]]:
    """Each folder, with a slash, and what is in it, first by the names; whether it was moved itself, or
    one above, and whether the names in it are those of then.

    Of hundreds of thousands of files, what is done for each counts: paths are texts.
    """
    left, paths = IgnoreFile.of(root).plain()
    left |= {"__pycache__"}
    paths |= {STATE, ".git", "data", *outputs.links(declared), *outputs.paths(declared)}
    folders = [(top, False, False)]
    while folders:
        folder, is_moved, may_be_moved = folders.pop()
        if folder in paths or is_data(folder):
            continue
        path = f"{root}/{folder}"
        try:
            status = os.stat(path)
            with os.scandir(path) as found:
                entries = list(found)
        except OSError:
            # It went meanwhile, or rsync can't read it either.
            continue
        names = [entry.name for entry in entries]
        if any(mark in names for mark in ENVIRONMENT_MARKS):
            continue
        # A change of what is in it has a new time, too: then the folder above tells.
        is_old = status.st_mtime_ns <= since
        is_moved = is_moved or status.st_ctime_ns > since and (is_old or may_be_moved)
        above = f"{folder}/" if folder else ""
        yield above, names, entries, is_moved, is_old
        folders += [
            (above + entry.name, is_moved, not is_old)
            for entry in entries
            if entry.is_dir(follow_symlinks=False) and entry.name not in left
        ]


def _moved(folder: str, entries: _Entries, since: int, *, is_moved: bool) -> Iterator[str]:
    for entry in entries:
        if not entry.is_file(follow_symlinks=False):
            continue
        # What went meanwhile is not sent.
        with suppress(FileNotFoundError):
            status = entry.stat(follow_symlinks=False)
            if status.st_mtime_ns <= since and (is_moved or status.st_ctime_ns > since):
                yield folder + entry.name
