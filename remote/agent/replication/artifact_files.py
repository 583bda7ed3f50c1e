"""What lies in folders of artifacts, for who brings some of it."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import Dict, Iterator

from remote.agent.target_dir import root_of
from remote.files import content_sum
from remote.folders import statuses
from remote.job.messages.records import ArtifactsAnswer, ArtifactsRequest


def describe(request: ArtifactsRequest) -> ArtifactsAnswer:
    """Tell the bytes of each file, and its sum where that is asked for."""
    root = root_of(request.key)
    files: Dict[str, int] = {}
    sums: Dict[str, str] = {}
    for path in request.paths:
        for name, status in statuses(root, names_in(root, path)):
            files[name] = status.st_size
            if request.sums and stat.S_IFMT(status.st_mode) in (stat.S_IFREG, stat.S_IFLNK):
                # Without one, it isn't taken for the same.
                with contextlib.suppress(OSError):
                    sums[name] = content_sum(root / name)
    return ArtifactsAnswer(files=files, sums=sums)


def names_in(root: Path, path: str) -> Iterator[str]:
    """All but folders at a path or below it, by their paths below the root."""
    if not (root / path).is_dir():
        yield path
    for place, folders, names in os.walk(str(root / path)):
        links = [name for name in folders if Path(place, name).is_symlink()]
        for name in (*names, *links):
            yield os.path.relpath(os.path.join(place, name), str(root))
