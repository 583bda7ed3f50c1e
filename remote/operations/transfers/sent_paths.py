"""Which of the paths that change a push may send, so that others don't begin one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from remote.job.outputs import below
from remote.operations.transfers.project_outputs import declared_outputs
from remote.transport.rsync_filters import IGNORE_FILE
from remote.transport.sent_names import sent_names

#: The project's root among the paths that changed: what else did isn't known.
ROOT = "."

#: What decides on all that is pushed.
RULES = {ROOT, IGNORE_FILE, "pyproject.toml"}


@dataclass
class SentPaths:
    """Which paths a push sends, as far as rsync was asked: folders whose files it does, and what it
    leaves here, with all that is below."""

    root: Path
    folders: set[str] = field(default_factory=lambda: {ROOT})
    left: set[str] = field(default_factory=set)

    def of(self, paths: set[str]) -> set[str]:
        """Those that a push may send. A file in a folder that was asked about may turn out to be left
        there: a push of it does nothing, and takes no longer than the question."""
        likely = {path for path in paths if not self._is_left(path)}
        self.ask(path for path in likely if self.folders.isdisjoint(_above(path)[:1]))
        return {path for path in likely if not self._is_left(path)}

    def ask(self, paths: Iterable[str]) -> None:
        """Have rsync say which of them it sends."""
        files = {path for path in paths if path not in RULES and not _is_processed(path)}
        if not files:
            return
        folders = {folder for path in files for folder in _above(path)} - {ROOT}
        sent = sent_names(self.root, files | folders, declared_outputs(self.root))
        self.folders |= folders & sent
        self.left |= (files | folders) - sent

    def _is_left(self, path: str) -> bool:
        return not _is_processed(path) and not self.left.isdisjoint((path, *_above(path)))


def _is_processed(path: str) -> bool:
    """Whether it is of what the server only gets where it lacks it, which has a transfer of its own."""
    return below(path, ["data/processed"])


def _above(path: str) -> list[str]:
    """The folders above a path, the nearest one first."""
    return [str(parent) for parent in PurePosixPath(path).parents]
