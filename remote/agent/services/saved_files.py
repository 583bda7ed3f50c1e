"""What was saved in JupyterLab among the pushed files, and is there still as it was saved.

The lab itself notes what it saves (`remote.runtime.serve_lab`). A file that a push or somebody else
has changed since is no longer meant.
"""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any, Dict, Sequence

from remote.agent.jobs.lifecycle import every
from remote.agent.target_dir import root_of
from remote.files import read_json, sha256
from remote.job.paths import STATE


def find(*, key: str) -> Dict[str, Any]:
    """`files`: the SHA-256 of each, by its path below the root."""
    return {"files": _saved(root_of(key))}


def _saved(root: Path) -> Dict[str, str]:
    noted: Dict[str, str] = {}
    for paths in every(root):
        if paths.saved.is_file():
            noted.update(read_json(paths.saved) or {})
    return {name: digest for name, digest in sorted(noted.items()) if _is(root / name, digest)}


def _is(file: Path, digest: str) -> bool:
    return file.is_file() and sha256(file) == digest


def fetch(*, key: str, names: Sequence[str]) -> Dict[str, Any]:
    """Those of them that are named, as a zip file; `times` are their times of change."""
    root = root_of(key)
    chosen = [name for name in _saved(root) if name in names]
    archive = root / STATE / f"saved-{os.urandom(8).hex()}.zip"
    times = {name: int(os.stat(str(root / name)).st_mtime) for name in chosen}
    with zipfile.ZipFile(str(archive), "w", zipfile.ZIP_DEFLATED) as file:
        for name in chosen:
            file.writestr(name, (root / name).read_bytes())
    return {"times": times, "blob": str(archive)}
