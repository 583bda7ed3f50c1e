"""The project that a store belongs to, and what files lie in it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Iterator, Optional

RUNS = "mlruns"
SERVED = "mlartifacts"


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
        return self.at(RUNS)

    @property
    def served(self) -> str:
        """The folder in which an `mlflow ui` started here keeps artifacts."""
        return self.at(SERVED)

    def at(self, relative: str) -> str:
        """The absolute path of something in the project, such as `mlruns/3`."""
        return f"{self.folder}/{relative}"

    def standard(self, path: str) -> Optional[str]:
        """A path below mlruns or mlartifacts, however it gets there (a link, a real path), as the
        one that begins with `folder`; None for any other path."""
        for name, plain in self._artifacts.items():
            if _is_below(path, name):
                return plain + path[len(name) :]
        return None

    def contains(self, path: str) -> bool:
        """True for a path in the project."""
        return any(_is_below(path, name) for name in self._folders)

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


def has_file(path: str) -> bool:
    """True for a file, or a folder with a file somewhere in it."""
    return os.path.isfile(path) or next(_files(path), None) is not None


def has_more(folder: str, other: str) -> bool:
    """True where `folder` holds a file that `other` doesn't."""
    return any(not os.path.lexists(os.path.join(other, name)) for name in _files(folder))


def _files(folder: str) -> Iterator[str]:
    for parent, _, names in os.walk(folder):
        for name in names:
            yield os.path.relpath(os.path.join(parent, name), folder)


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
