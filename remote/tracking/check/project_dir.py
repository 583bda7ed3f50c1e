"""The project that a store belongs to, and what lies in it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Iterator, Optional

from remote.tracking.check.artifact_uri import RUNS, SERVED, is_below


@dataclass(frozen=True)
class Place:
    """A store, and the folder whose `mlruns` holds its artifacts."""

    store: Path
    root: Path

    @property
    def folder(self) -> str:
        """The project's root, absolute."""
        return os.path.abspath(self.root).rstrip("/")

    @property
    def runs(self) -> str:
        """The folder `mlruns`, absolute."""
        return f"{self.folder}/{RUNS}"

    @property
    def served(self) -> str:
        """The folder in which an `mlflow ui` started here keeps artifacts."""
        return f"{self.folder}/{SERVED}"

    def at(self, rest: str) -> str:
        """`mlruns/…` of this project."""
        return f"{self.folder}/{rest}"

    def own(self, path: str) -> Optional[str]:
        """A path in this project's folders of artifacts, whichever name it has for them, by their
        plain one; None for any other path."""
        for name, plain in self._artifacts.items():
            if is_below(path, name):
                return plain + path[len(name) :]
        return None

    def contains(self, path: str) -> bool:
        """True for a path in the project."""
        return any(is_below(path, name) for name in self._folders)

    @cached_property
    def _folders(self) -> set[str]:
        return {self.folder, os.path.realpath(self.root)}

    @cached_property
    def _artifacts(self) -> dict[str, str]:
        found = {}
        for folder in (RUNS, SERVED):
            for name in [f"{root}/{folder}" for root in self._folders]:
                found[name] = found[os.path.realpath(name)] = self.at(folder)
        return found


class Disk:
    """What is there, asked as the plan needs it."""

    def has(self, path: str) -> bool:
        """True for a file, or a folder with a file somewhere in it."""
        return os.path.isfile(path) or next(_files(path), None) is not None

    def lacks(self, folder: str, other: str) -> bool:
        """True where `folder` holds a file that `other` doesn't."""
        return any(not os.path.lexists(os.path.join(other, name)) for name in _files(folder))

    def size(self, path: str) -> tuple[int, int]:
        """How many files there are, and their bytes."""
        if not os.path.isdir(path) or os.path.islink(path):
            return 1, _bytes(path)
        sizes = [_bytes(os.path.join(path, name)) for name in _files(path)]
        return len(sizes), sum(sizes)


def _files(folder: str) -> Iterator[str]:
    for parent, _, names in os.walk(folder):
        for name in names:
            yield os.path.relpath(os.path.join(parent, name), folder)


def _bytes(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0
