"""The project that a store belongs to, and what lies in it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Iterator, Optional

from remote.tracking.check.artifact_uri import RUNS, SERVED, is_below


@dataclass(frozen=True)
class ProjectDir:
    """A store, and the folder whose `mlruns` holds its artifacts."""

    store: Path
    root: Path

    @property
    def folder(self) -> str:
        """The project's root, absolute."""
        return os.path.abspath(self.root).rstrip("/")

    @property
    def mlruns(self) -> str:
        """The folder `mlruns`, absolute."""
        return f"{self.folder}/{RUNS}"

    @property
    def served(self) -> str:
        """The folder in which an `mlflow ui` started here keeps artifacts."""
        return f"{self.folder}/{SERVED}"

    def at(self, rest: str) -> str:
        """`mlruns/…` of this project."""
        return f"{self.folder}/{rest}"

    def standard(self, path: str) -> Optional[str]:
        """A path below mlruns or mlartifacts, however it gets there (a link, a real path), as the
        one that begins with `folder`; None for any other path."""
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
        plain = {}
        for folder in (RUNS, SERVED):
            for name in [f"{root}/{folder}" for root in self._folders]:
                plain[name] = plain[os.path.realpath(name)] = self.at(folder)
        return plain


class Disk:
    """What files there are. A class, so that what decides about paths does no I/O of its own."""

    def has(self, path: str) -> bool:
        """True for a file, or a folder with a file somewhere in it."""
        return os.path.isfile(path) or next(_files(path), None) is not None

    def lacks(self, folder: str, other: str) -> bool:
        """True where `folder` holds a file that `other` doesn't."""
        return any(not os.path.lexists(os.path.join(other, name)) for name in _files(folder))


def _files(folder: str) -> Iterator[str]:
    for parent, _, names in os.walk(folder):
        for name in names:
            yield os.path.relpath(os.path.join(parent, name), folder)
