"""Small disks: a tmpfs at a folder, where this machine lets a test mount one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MB = 1_000_000


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """Have a disk of that size at `folder`; skips the test where none can be mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    options = ["-t", "tmpfs", "-o", f"size={megabytes * MB}", "tmpfs", str(folder)]
    if subprocess.run(["mount", *options], capture_output=True).returncode:
        pytest.skip("no small disk can be mounted here: that takes root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def free(folder: Path) -> int:
    """The bytes that are free on the disk of a folder."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


def fill(folder: Path, *, leaving: int = 0) -> Path:
    """Have somebody else's file take what is free, but for so many bytes; its path."""
    file = folder / "filler"
    with open(file, "wb") as out:
        out.write(bytes(max(0, free(folder) - leaving)))
    return file


def random_file(path: Path, megabytes: float) -> Path:
    """A file of long ago that no compression makes smaller."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(int(megabytes * MB)))
    os.utime(path, (1_700_000_000, 1_700_000_000))
    return path
