"""Check a store, and mend it where that is asked for."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from remote.config import find_project
from remote.errors import StoreError
from remote.files import locked
from remote.operations.tracking.destination import STORE
from remote.tracking.check import Finding, ProjectDir, examine, mend
from remote.tracking.store_address import FOLDER, SQLITE, StoreAddress


@dataclass(frozen=True)
class Checked:
    """What was found; after mending, what is left. `backup` is the copy made before."""

    store: str
    findings: tuple[Finding, ...]
    mended: tuple[Finding, ...] = ()
    backup: str = ""

    @property
    def problems(self) -> tuple[Finding, ...]:
        """What is wrong: the findings that are more than notes."""
        return tuple(finding for finding in self.findings if not finding.note)


def check(store: str = "", *, mending: bool = False) -> Checked:
    """Examine `store` (a path or a SQLite URI; by default the project's own); raises StoreError."""
    project = find_project()
    path = _path(store) if store else project.root / STORE
    store_project = ProjectDir(path, path.parent)
    own = path.resolve() == (project.root / STORE).resolve()
    # A pull writes in parts, and what it hasn't written yet isn't missing.
    lock = locked(project.state / "pull.lock") if own and mending else contextlib.nullcontext()
    with lock:
        findings = tuple(examine(store_project))
        backup = mend(store_project, findings) if mending else None
        if backup is None:
            return Checked(str(path), findings)
        mended = tuple(finding for finding in findings if finding.changes)
        # What was undone once can't be found again.
        notes = tuple(finding for finding in findings if finding.note)
        left = [finding for finding in examine(store_project) if finding not in notes]
        return Checked(str(path), (*notes, *left), mended, str(backup))


def _path(store: str) -> Path:
    address = StoreAddress.parse(store, folder=Path.cwd())
    if address.path is None or address.kind not in (SQLITE, FOLDER):
        raise StoreError(
            f"Only SQLite files are checked, not {address}.", "Name a file such as mlflow.db."
        )
    return _in_folder(address.path) if address.path.is_dir() else address.path


def _in_folder(folder: Path) -> Path:
    """The store of a project."""
    if not (folder / STORE).is_file():
        raise StoreError(f"{folder} has no {STORE}.", "Name a store: a file such as mlflow.db.")
    return (folder / STORE).absolute()
