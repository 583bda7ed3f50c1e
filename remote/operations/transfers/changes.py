"""What was saved here since a push, and the folders that a push of it need not look at."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from remote.job.outputs import below


@dataclass(frozen=True)
class Changes:
    """Paths below the project's root at which something was written, removed or renamed.

    The push of the id `after` has sent all that was there before. Where rsync could take a file for
    the one that was sent (of its size and second), contents are compared (`checksum`).
    """

    paths: frozenset[str]
    after: str
    checksum: bool

    def touch(self, folder: str) -> bool:
        """Whether something changed in that folder, or above it."""
        return any(below(path, [folder]) or below(folder, [path]) for path in self.paths)

    def untouched(self, root: Path) -> list[str]:
        """The folders beside those in which something changed: left out, they stay as they are on
        both sides."""
        whole = {path for path in self.paths if (root / path).is_dir()}
        above = {parent for path in self.paths for parent in _parents(path)}
        listed = (folder for folder in above if not below(folder.rstrip("/"), whole))
        names = (name for folder in listed for name in _folders(root, folder))
        # A rule with a line break in it would fit other names, too.
        return [name for name in names if f"{name}/" not in above and name not in whole]


def _parents(path: str) -> Iterator[str]:
    """The folders above a path, with a slash behind each; empty for the root."""
    parents = map(str, PurePosixPath(path).parents)
    return ("" if parent == "." else f"{parent}/" for parent in parents)


def _folders(root: Path, folder: str) -> Iterable[str]:
    with contextlib.suppress(OSError), os.scandir(root / folder) as entries:
        for entry in entries:
            if entry.is_dir() and not set("\r\n") & set(entry.name):
                yield folder + entry.name
