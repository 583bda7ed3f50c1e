"""What lies in folders of artifacts, for who brings some of it."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import Callable, Dict, Iterator, Optional

from remote.agent.target_dir import root_of
from remote.files import content_sum
from remote.folders import statuses
from remote.job.messages.records import ArtifactsAnswer, ArtifactsRequest


def describe(request: ArtifactsRequest) -> ArtifactsAnswer:
    """Tell the bytes of each file, and its sum where that is asked for."""
    root = root_of(request.key)
    files: Dict[str, int] = {}
    sums: Dict[str, str] = {}
    closed: Dict[str, str] = {}

    def note(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            path = os.path.relpath(os.fsdecode(error.filename), str(root))
            closed[path] = error.strerror or str(error)

    names = (name for path in request.paths for name in names_in(root, path, note))
    for name, status in statuses(root, names, note):
        files[name] = status.st_size
        if request.sums and stat.S_IFMT(status.st_mode) in (stat.S_IFREG, stat.S_IFLNK):
            # Without one, it isn't taken for the same.
            with contextlib.suppress(OSError):
                sums[name] = content_sum(root / name)
    return ArtifactsAnswer(files=files, sums=sums, closed=closed)


def names_in(
    root: Path, path: str, on_error: Optional[Callable[[OSError], None]] = None
) -> Iterator[str]:
    """All but folders at a path or below it, by their paths below the root; folders that can't be read
    are passed over, but for `on_error`."""
    # A Path raises where it can't look.
    if not os.path.isdir(f"{root}/{path}"):  # noqa: PTH112
        yield path
    for place, folders, names in os.walk(str(root / path), onerror=on_error):
        links = [name for name in folders if os.path.islink(f"{place}/{name}")]  # noqa: PTH114
        for name in (*names, *links):
            yield os.path.relpath(os.path.join(place, name), str(root))
