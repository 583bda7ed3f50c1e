"""Fresh lock files: the versions that were tested, unless pyproject.toml asks for others by now."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from remote.files import write_atomic

#: Where uv is, beside the Python that runs this.
UV = Path(sys.executable).with_name("uv")


def resolve(root: Path) -> tuple[list[str], str]:
    """Resolve the lock files; the names of those that changed come back, or why it failed.

    They are made in another folder, so that either all are new or none.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "scripts").mkdir()
        for path in (root / "pyproject.toml", *root.glob("requirements*.lock")):
            shutil.copy(path, folder)
        argv = ["sh", str(root / "scripts/lock.sh"), str(UV)]
        # uv would fetch the oldest Python that the project allows, and needs none to resolve.
        env = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
        done = subprocess.run(
            argv, cwd=folder, env=env, capture_output=True, text=True, errors="replace"
        )
        if done.returncode:
            return [], _words(done.stderr)
        return [path.name for path in sorted(folder.glob("*.lock")) if _taken(path, root)], ""


def _taken(path: Path, root: Path) -> bool:
    own = root / path.name
    if own.is_file() and own.read_bytes() == path.read_bytes():
        return False
    write_atomic(own, path.read_bytes())
    return True


def install(root: Path) -> str:
    """Have .venv know the project by its new name; why it failed comes back, or ""."""
    argv = [str(UV), "pip", "install", "-q", "--python", sys.executable, "--no-deps", "-e", "."]
    done = subprocess.run(argv, cwd=root, capture_output=True, text=True, errors="replace")
    return _words(done.stderr) if done.returncode else ""


def _words(stderr: str) -> str:
    """What uv says is wrong, on one line."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    told = [line for line in lines if line.startswith(("error:", "cause:"))] or lines
    return " ".join(told[:2]) or "uv said nothing"
