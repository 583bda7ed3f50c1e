"""Check a store, and mend it where that is asked for."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from remote.config import find_project
from remote.errors import StoreError
from remote.files import locked
from remote.operations.tracking.destination import STORE
from remote.tracking.check.examine import Finding, examine, mend
from remote.tracking.left_artifacts import tagged
from remote.tracking.store_address import FOLDER, SQLITE, StoreAddress


@dataclass(frozen=True)
class Checked:
    """What is wrong; after mending, what is still. `backup` is the copy made before, `left` what runs
    tell of artifacts that a pull has left on their server."""

    store: str
    findings: tuple[Finding, ...]
    mended: tuple[Finding, ...] = ()
    backup: str = ""
    left: Mapping[str, str] = field(default_factory=dict)


def check(store: str = "", *, mending: bool = False) -> Checked:
    """Examine `store` (a path or a SQLite URI; by default the project's own); raises StoreError."""
    project = find_project()
    path = _path(store) if store else project.root / STORE
    own = os.path.realpath(path) == os.path.realpath(project.root / STORE)
    # A pull writes in parts, and what it hasn't written yet isn't missing.
    lock = (
        locked(project.state / "pull.lock", "a pull")
        if own and mending
        else contextlib.nullcontext()
    )
    with lock:
        findings = tuple(examine(path))
        backup = mend(path, findings) if mending else None
        if backup is None:
            return Checked(str(path), findings, left=_left(path))
        mended = tuple(finding for finding in findings if finding.mendable)
        return Checked(str(path), tuple(examine(path)), mended, str(backup), _left(path))


def _left(path: Path) -> Mapping[str, str]:
    # Of a damaged store nothing can be told.
    with contextlib.suppress(StoreError):
        return tagged(path)
    return {}


def _path(store: str) -> Path:
    address = StoreAddress.parse(store, folder=Path.cwd())
    path = address.path
    if path is None or address.kind not in (SQLITE, FOLDER):
        raise StoreError(
            f"Only SQLite files are checked, not {address}.", "Name a file such as mlflow.db."
        )
    if not path.is_dir():
        return path
    if not (path / STORE).is_file():
        raise StoreError(f"{path} has no {STORE}.", "Name a store: a file such as mlflow.db.")
    return (path / STORE).absolute()
