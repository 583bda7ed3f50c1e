"""Whether something fits on a target, and what is removed for it."""

from __future__ import annotations

import os
from pathlib import Path

from remote.agent.room import clear, measure
from remote.job.messages.target import SPARE, RoomRequest
from remote.job.paths import partial_name, temporary_folder
from tests.agent.job_folder import KEY

COPY, OTHER = "a" * 32, "b" * 32


def leave(root: Path, project: str) -> list[Path]:
    """What a push that was cut off leaves: a temporary file and a partial one."""
    folders = temporary_folder(root, project), root / "src" / partial_name(project)
    files = [folder / name for folder, name in zip(folders, (".x.a1b2c3", "x"), strict=True)]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes(5000))
    return files


def test_what_fits_is_no_shortage(root: Path) -> None:
    answer = measure(RoomRequest(key=KEY, project=COPY, needs={"": 1, "data/raw": 5}))
    assert answer.short is None and answer.together


def test_what_does_not_fit_is_told_with_the_disk_and_all_that_goes_there(root: Path) -> None:
    disk = os.statvfs(root)
    free = disk.f_bavail * disk.f_frsize
    (root / "data").mkdir(exist_ok=True)
    answer = measure(RoomRequest(key=KEY, project=COPY, needs={"data/no/such": free, "src": SPARE}))
    assert answer.short is not None
    assert answer.short.needed == free + SPARE and answer.short.folder == str(root / "data")


def test_another_disk_is_told(root: Path) -> None:
    (root / "other").symlink_to("/proc")
    answer = measure(RoomRequest(key=KEY, project=COPY, needs={"other": 0}))
    assert not answer.together


def test_only_what_this_copy_left_is_removed(root: Path) -> None:
    own, others = leave(root, COPY), leave(root, OTHER)
    users = root / "src/.x.a1b2c3"
    users.write_text("mine")
    assert clear(root, COPY) >= 10_000
    assert not any(path.exists() for path in own)
    assert all(path.exists() for path in (*others, users)) and temporary_folder(root, COPY).is_dir()


def test_partial_files_stay_for_the_push_that_goes_on_from_them(root: Path) -> None:
    temporary, partial = leave(root, COPY)
    measure(RoomRequest(key=KEY, project=COPY, needs={"src": 1}))
    assert partial.exists() and not temporary.exists()
    measure(RoomRequest(key=KEY, project=COPY, clear=True))
    assert not partial.exists()
