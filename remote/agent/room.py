"""Room on a target's disks, and what pushes that were cut off hold of it.

Nothing of a user's is ever removed: rsync's temporary files lie in `.remote`, and its partial ones
in folders that the random id of a copy of the project is part of the name of.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import Dict, Iterator, Mapping, Optional

from remote.agent.target_dir import first_existing, root_of
from remote.job.messages.target import SPARE, RoomAnswer, RoomRequest, Shortage
from remote.job.paths import STATE, partial_name, temporary_folder


def measure(request: RoomRequest) -> RoomAnswer:
    """Say whether something fits, after removing what would keep it from that."""
    root, project = root_of(request.key), request.project
    # One push of this copy goes on at a time, so what lies there is of no rsync.
    _empty(temporary_folder(root, project))
    if request.clear:
        clear(root, project)
    short = _shortage(root, request.needs)
    if short:
        # A push that goes on where one was cut needs no second time what its partial files hold.
        held = sum(map(size, partial_folders(root, project)))
        if short.needed + SPARE <= short.free + held:
            short = None
        elif held:
            clear(root, project)
            short = _shortage(root, request.needs)
    home = _device(root / STATE)
    together = all(_device(root / folder) == home for folder in request.needs)
    return RoomAnswer(short=short, together=together)


def _device(path: Path) -> int:
    return os.stat(str(first_existing(path))).st_dev


def _shortage(root: Path, needs: Mapping[str, int]) -> Optional[Shortage]:
    """The first disk that hasn't so much room."""
    folders: Dict[int, Path] = {}
    total: Dict[int, int] = {}
    for name, count in needs.items():
        device = _device(root / name)
        folders.setdefault(device, first_existing(root / name))
        total[device] = total.get(device, 0) + count
    for device, folder in folders.items():
        disk = os.statvfs(str(folder))
        free = disk.f_bavail * disk.f_frsize
        if total[device] + SPARE > free:
            return Shortage(folder=str(folder), needed=total[device], free=free)
    return None


def partial_folders(root: Path, project: str) -> Iterator[Path]:
    """Where pushes by this copy of the project keep what is not finished, beside the files."""
    name = partial_name(project)
    for place, folders, _ in os.walk(str(root)):
        if name in folders:
            yield Path(place) / name
        folders[:] = [folder for folder in folders if folder not in (STATE, name)]


def clear(root: Path, project: str) -> int:
    """Remove what pushes by this copy left; the bytes that it held come back."""
    folders = [temporary_folder(root, project), *partial_folders(root, project)]
    held = sum(map(size, folders))
    for folder in folders[1:]:
        shutil.rmtree(str(folder), ignore_errors=True)
    _empty(folders[0])
    return held


def _empty(folder: Path) -> None:
    for path in folder.glob("*"):
        with contextlib.suppress(OSError):
            path.unlink()


def size(folder: Path) -> int:
    """The bytes that a folder holds alone: files that others share by a link stay anyway."""
    total = 0
    for place, _, names in os.walk(str(folder)):
        for name in names:
            with contextlib.suppress(OSError):
                status = os.lstat(os.path.join(place, name))
                total += status.st_blocks * 512 if status.st_nlink == 1 else 0
    return total
