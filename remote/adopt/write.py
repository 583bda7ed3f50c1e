"""Write what was agreed to, and keep what was there before."""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Iterable
from pathlib import Path

from remote.adopt.part import Change, Command
from remote.errors import ConfigError
from remote.files import write_atomic
from remote.job.paths import STATE
from remote.transport import process


def backup(root: Path, names: Iterable[str]) -> str:
    """Copy these files, where they are there; the folder of the copies, or nothing, comes back."""
    there = [name for name in dict.fromkeys(names) if (root / name).is_file()]
    folder = f"{STATE}/backup/adopt-{time.strftime('%Y%m%d-%H%M%S')}"
    for name in there:
        (root / folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / name, root / folder / name)
    return folder if there else ""


def write(root: Path, change: Change) -> None:
    """Put one file into its place, with the mode that it had; raises ConfigError."""
    path = root / change.name
    try:
        mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o644
        write_atomic(path, change.after.encode("utf-8"), mode=mode)
    except OSError as error:
        raise ConfigError(f"{change.name} can't be written: {error.strerror}.") from None


def run(root: Path, command: Command) -> str:
    """Run a program in the project; what it said where it failed, else nothing."""
    argv = [_program(command.argv[0]), *command.argv[1:]]
    kept = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    result = process.run(argv, cwd=root, env=kept)
    return result.stderr.strip() or f"exit code {result.code}" if result.code else ""


def _program(name: str) -> str:
    """uv came with the toolkit; the others are the user's."""
    if name == "uv":
        from uv import find_uv_bin

        return find_uv_bin()
    return process.program(name, "Install it, and adopt once more.")
