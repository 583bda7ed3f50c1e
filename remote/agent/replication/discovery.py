"""The MLflow stores of a target beside its own: file stores, and those that jobs made themselves."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Dict, List, Optional

from remote.agent.job_folders.find_jobs import every
from remote.agent.job_folders.liveness import state_of
from remote.errors import StoreError
from remote.files import read_json, write_json
from remote.job.paths import STATE, JobPaths
from remote.job.state import ENDED
from remote.tracking.sources import source_of

_SEEN = "stores.json"
#: Folders that rsync is asked for by name.
_PLAIN = re.compile(r"[A-Za-z0-9_.-]+\Z")


def others(root: Path) -> Dict[str, Optional[str]]:
    """Their paths below the target, each with a mark that changes when the store does.

    The mark is None where only reading tells. Jobs that have ended are looked at once.
    """
    names = ["mlruns"] if source_of(root / "mlruns") else []
    return {name: _mark(root / name) for name in [*names, *_of_jobs(root)]}


def path_of(root: Path, name: str) -> Path:
    """Raises StoreError for a name that `others` doesn't give."""
    if name not in others(root):
        raise StoreError(f"{root} has no MLflow store {name}.")
    return root / name


def _of_jobs(root: Path) -> List[str]:
    """What a job made in its own folder; what was pushed is in the target as well."""
    file = root / STATE / _SEEN
    before: Dict[str, List[str]] = read_json(file) or {}
    after: Dict[str, List[str]] = {}
    names = []
    for paths in every(root):
        found = before.get(paths.id)
        if found is None:
            found = _made_in(root, paths)
        names += found
        if paths.id in before or state_of(paths).state in ENDED:
            after[paths.id] = found
    if after != before:
        write_json(file, after)
    return [name for name in names if (root / name).exists()]


def _made_in(root: Path, paths: JobPaths) -> List[str]:
    try:
        entries = sorted(os.scandir(str(paths.code)), key=lambda entry: entry.name)
    except OSError:
        return []
    return [
        str((paths.code / entry.name).relative_to(root))
        for entry in entries
        if not entry.is_symlink() and not (root / entry.name).exists() and _is_one(Path(entry.path))
    ]


def _is_one(path: Path) -> bool:
    if path.is_dir() and not _PLAIN.match(path.name):
        return False
    return source_of(path) is not None


def _mark(path: Path) -> Optional[str]:
    """None for a folder, whose status says nothing of its files, and while a log is not empty."""
    if path.is_dir() or Path(f"{path}-wal").exists():
        return None
    status = path.stat()
    return f"{status.st_ino}:{status.st_size}:{status.st_mtime_ns}"
