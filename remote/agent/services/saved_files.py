"""What was saved in JupyterLab among the pushed files, and is there still as it was saved.

The lab itself notes what it saves (`remote.runtime.serve`). A file that a push or somebody else
has changed since is no longer meant.
"""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Dict

from remote.agent.answers import AnswerWithFile
from remote.agent.job_folders.find_jobs import every
from remote.agent.target_dir import root_of
from remote.files import read_json, sha256
from remote.job.messages.services import FetchAnswer, FetchRequest, SavedAnswer, SavedRequest
from remote.job.paths import STATE


def find(request: SavedRequest) -> SavedAnswer:
    """All of them."""
    return SavedAnswer(_saved(root_of(request.key)))


def _saved(root: Path) -> Dict[str, str]:
    noted: Dict[str, str] = {}
    for paths in every(root):
        if paths.saved.is_file():
            noted.update(read_json(paths.saved) or {})
    return {name: digest for name, digest in sorted(noted.items()) if _is(root / name, digest)}


def _is(file: Path, digest: str) -> bool:
    return file.is_file() and sha256(file) == digest


def fetch(request: FetchRequest) -> AnswerWithFile:
    """Those of them that are named, as a zip file."""
    root = root_of(request.key)
    names = [name for name in _saved(root) if name in request.names]
    archive = root / STATE / f"saved-{os.urandom(8).hex()}.zip"
    times = {name: int(os.stat(str(root / name)).st_mtime) for name in names}
    with zipfile.ZipFile(str(archive), "w", zipfile.ZIP_DEFLATED) as file:
        for name in names:
            file.writestr(name, (root / name).read_bytes())
    return AnswerWithFile(FetchAnswer(times), archive)
