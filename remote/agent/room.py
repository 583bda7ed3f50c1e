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

from remote.agent import target_links
from remote.agent.target_dir import first_existing, root_of
from remote.folders import bytes_in
from remote.job.messages.target import SPARE, RoomAnswer, RoomRequest, Shortage
from remote.job.outputs import below
from remote.job.paths import STATE, partial_name, temporary_folder


def measure(request: RoomRequest) -> RoomAnswer:
    """Say whether something fits, after removing what would keep it from that."""
    root, project = root_of(request.key), request.project
    if not request.running:
        # One push of this copy goes on at a time, so what lies there is of no rsync.
        _empty(temporary_folder(root, project))
    if request.clear:
        clear(root, project)
    short = _shortage(root, request.needs)
    if short and not request.running:
        # A push that goes on where one was cut needs no second time what its partial files hold.
        held = sum(map(bytes_in, partial_folders(root, project)))
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


def partial_folders(root: Path, *projects: str) -> Iterator[Path]:
    """Where pushes by these copies of the project keep what is not finished, beside the files; where
    the project's `links` lead, no push writes."""
    names = set(map(partial_name, projects))
    entered = set(map(os.path.realpath, [str(root), *target_links.places(root)]))
    for place, folders, _ in os.walk(str(root), followlinks=True):
        yield from (Path(place) / name for name in names.intersection(folders))
        for name in list(folders):
            path = Path(place) / name
            real = os.path.realpath(str(path)) if path.is_symlink() else ""
            # Links are followed where data lies on other disks, and none of them twice.
            is_passed = real and (
                real in entered or not below(str(path.relative_to(root)), ["data"])
            )
            if is_passed or name in names or name == STATE:
                folders.remove(name)
            entered.add(real)


def clear(root: Path, *projects: str, dry_run: bool = False) -> int:
    """Remove what pushes by these copies left; the bytes that it held come back."""
    temporary = [temporary_folder(root, project) for project in projects]
    partial = list(partial_folders(root, *projects))
    held = sum(map(bytes_in, [*temporary, *partial]))
    if not dry_run:
        for folder in partial:
            shutil.rmtree(str(folder), ignore_errors=True)
        for folder in temporary:
            _empty(folder)
    return held


def _empty(folder: Path) -> None:
    for path in folder.glob("*"):
        with contextlib.suppress(OSError):
            path.unlink()
