"""What uv keeps of the packages that it downloaded, and how what no environment uses is freed."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Dict, Iterable, Optional, Set

from remote.agent import processes
from remote.agent.target_dir import find_uv
from remote.folders import bytes_in

#: Seconds that uv waits for others which use its cache, and may take to remove what it holds.
PATIENCE = 20
LIMIT = 600.0

_PACKAGE = re.compile(r"(.+)-[^-]+\.dist-info")


def folder() -> Optional[Path]:
    """Where the uv of this account keeps its downloads; None where there is no uv, or none yet."""
    uv = find_uv()
    path = Path((processes.answer([uv, "cache", "dir"]) or "").strip()) if uv else Path()
    return path if path.is_absolute() and path.is_dir() else None


def is_default(folder: Path) -> bool:
    """Whether it lies where uv puts it unless it is told to: no setting shares it with others."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return folder == Path(base) / "uv"


def unused(folder: Path) -> Dict[str, int]:
    """The packages of which no environment on this disk has a file, with their bytes."""
    sizes: Dict[str, int] = {}
    used: Set[str] = set()
    for archive in folder.glob("archive-v*/*"):
        names = filter(None, map(_PACKAGE.fullmatch, os.listdir(str(archive))))
        package = next((match[1] for match in names), "")
        if _is_linked(archive):
            used.add(package)
        sizes[package] = sizes.get(package, 0) + bytes_in(archive)
    return {name: count for name, count in sizes.items() if name and name not in used}


def _is_linked(archive: Path) -> bool:
    """Whether an environment shares a file with an unpacked package; a few are always copied."""
    return any(
        os.lstat(os.path.join(place, name)).st_nlink > 1
        for place, _, names in os.walk(str(archive))
        for name in names
    )


def remove(packages: Iterable[str]) -> bool:
    """Have uv forget these packages; False where it can't."""
    uv = [f"UV_LOCK_TIMEOUT={PATIENCE}", find_uv() or "uv", "cache"]
    done = processes.answer(["env", *uv, "clean", *sorted(packages)], limit=LIMIT)
    processes.answer(["env", *uv, "prune"], limit=LIMIT)
    return done is not None
