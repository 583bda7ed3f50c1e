"""What a pull asks for: the records that changed, after lost jobs were seen to.

A target has stores beside its own: file stores, and those that jobs made themselves.
"""

from __future__ import annotations

import os
import re
import tempfile
import zlib
from pathlib import Path
from typing import Dict, List, Optional, Union

from remote.agent.job_folders import every, live, state_of
from remote.agent.target_dir import root_of
from remote.agent.tracking.job_run import store_of
from remote.errors import StoreError
from remote.files import read_json, write_json
from remote.job.messages.base import AnswerWithFile
from remote.job.messages.records import DeltaAnswer, DeltaRequest
from remote.job.paths import STATE, JobPaths
from remote.job.status import ENDED
from remote.tracking.sources import source_of

_PART = 1 << 20  # bytes

_SEEN = "stores.json"

#: Folders that rsync is asked for by name.
_PLAIN = re.compile(r"[A-Za-z0-9_.-]+\Z")


def delta(request: DeltaRequest) -> Union[DeltaAnswer, AnswerWithFile]:
    """What changed in a store; of the target's own, unless the request names another.

    With the target's own, jobs that got lost are ended first, and the answer tells which jobs
    have ended, and which stores it has beside its own.
    """
    root, store = root_of(request.key), request.store
    path = _path_of(root, store) if store else store_of(root)
    answer = DeltaAnswer(root=str(root))
    if not store:
        running = {paths.id for paths in live(root) if state_of(paths).state not in ENDED}
        ended = tuple(paths.id for paths in every(root) if paths.id not in running)
        answer = answer.replace(ended=ended, others=_others(root))
    source = source_of(path)
    if source is None and not store:
        return answer
    if source is None:
        raise StoreError(f"{path} isn't an MLflow store.")
    handle, name = tempfile.mkstemp(prefix="delta-", dir=str(root / STATE))
    os.close(handle)
    source.write_delta(
        path, Path(name), request.known, roots=[str(root)], registry=request.registry
    )
    file = Path(_compressed(name) if request.compress else name)
    return AnswerWithFile(answer.replace(empty=False), file)


def _compressed(name: str) -> str:
    """Rows repeat their words: even the fastest setting makes them a quarter as long."""
    packer = zlib.compressobj(1)
    with open(name, "rb") as plain, open(name + ".z", "wb") as packed:
        for part in iter(lambda: plain.read(_PART), b""):
            packed.write(packer.compress(part))
        packed.write(packer.flush())
    os.unlink(name)
    return name + ".z"


def _others(root: Path) -> Dict[str, Optional[str]]:
    """The stores beside the target's own, by their paths below it, each with a mark that changes when the store does.

    The mark is None where only reading tells. Jobs that have ended are looked at once.
    """
    names = ["mlruns"] if source_of(root / "mlruns") else []
    return {name: _mark(root / name) for name in [*names, *_of_jobs(root)]}


def _path_of(root: Path, name: str) -> Path:
    """Raises StoreError for a name that `_others` doesn't give."""
    if name not in _others(root):
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
