"""Files of the project that were saved in JupyterLab on the target: told, and brought here."""

from __future__ import annotations

import os
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

from remote.errors import TargetError
from remote.files import copy_new, sha256, write_atomic
from remote.job.messages.services import FetchRequest, SavedRequest
from remote.job.outputs import is_left_alone
from remote.job.paths import STATE
from remote.session import TargetSession

NOTEBOOK = ".ipynb"

#: The toolkit itself, which every `inv` here runs.
TOOLKIT = "remote"


def waiting(server: TargetSession) -> list[str]:
    """The files that were saved there and differ from here, or aren't here."""
    saved = server.agent.call(SavedRequest(key=server.key)).files
    root = server.project.root
    return [name for name, digest in saved.items() if _differs(root / name, digest)]


def _differs(file: Path, digest: str) -> bool:
    try:
        return sha256(file) != digest
    except OSError:
        return True


def may_come(name: str, root: Path) -> bool:
    """Whether a file of that name is taken from a server: it must lie in the project, and nothing
    that this machine runs by itself (tasks.py, Makefile, the toolkit, hidden files) comes."""
    parts = name.split("/")
    if os.path.isabs(name) or any(part in ("", "..") or part.startswith(".") for part in parts):
        return False
    if not (root / name).parent.resolve().is_relative_to(root.resolve()):
        return False
    if is_left_alone(name):
        return False
    return name.endswith(NOTEBOOK) or len(parts) > 1 and parts[0] != TOOLKIT


def bring(server: TargetSession, names: list[str]) -> tuple[list[str], str]:
    """Bring these files here: their names, and the folder with the versions that they replaced.

    Raises TargetError where what came isn't what was asked for.
    """
    root = server.project.root
    backup = f"{STATE}/backup/lab-{time.strftime('%Y%m%d-%H%M%S')}"
    with tempfile.TemporaryFile() as archive:
        request = FetchRequest(key=server.key, names=tuple(names))
        times = server.agent.call(request, blob=archive).times
        archive.seek(0)
        for name, data in _unpacked(archive, names):
            file = root / name
            if file.exists():
                copy_new(file, root / backup / name, mode=0o644)
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(file, data)
            # rsync takes files of the same size and time for the same.
            os.utime(file, (times[name], times[name]))
    return sorted(times), backup if (root / backup).is_dir() else ""


def _unpacked(archive: object, names: list[str]) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(archive) as file:  # type: ignore[call-overload]
        for name in file.namelist():
            if name not in names:
                raise TargetError(f"The server sent {name!r}, which nobody asked for.")
            yield name, file.read(name)
