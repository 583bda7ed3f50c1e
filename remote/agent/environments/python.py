"""Environments that others made: an interpreter of this server, or the virtual environment or conda
prefix that it belongs to. It is used as it is."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Mapping, Sequence, Tuple

from remote.errors import JobError

if TYPE_CHECKING:
    from remote.agent.environments import Request
    from remote.agent.environments.make_once import Recipe

IS_MADE = False
STARTS_ELSEWHERE = False
NO_EXTRAS = (
    "Install the extra's packages with that environment's pip or conda, and leave out --extra."
)

#: What it holds, no file of the project's says.
LOCK_FILES: Tuple[str, ...] = ()

CONDA = "conda:"

HINT = "[tool.remote] python names an interpreter, an environment's folder, or conda:NAME."


def suits(code: Path) -> bool:
    """Only a setting asks for it."""
    return False


def key(request: Request) -> str:
    """A name for what the setting says, whatever is there."""
    if not request.source:
        raise JobError("The environment is to be a Python of this server, and none is named.", HINT)
    source = request.source.encode("utf-8", "surrogateescape")
    return f"python-{hashlib.sha256(source).hexdigest()[:12]}"


def missing_programs() -> Tuple[str, ...]:
    """None can be brought."""
    return ()


def recipe(folder: Path, request: Request) -> Recipe:
    """Nothing is made."""
    raise NotImplementedError


def python(folder: Path, request: Request) -> Path:
    """The interpreter that the source names; raises JobError where it isn't there."""
    place = _place(request)
    names = ("bin/python", "bin/python3") if place.is_dir() else ("",)
    for path in (place / name for name in names):
        if path.is_file() and os.access(str(path), os.X_OK):
            # Not resolved: that of a virtual environment is a link to one elsewhere.
            return path
    raise JobError(f"There is no Python at {place} on this server.", HINT)


def _place(request: Request) -> Path:
    # Here, and so below, since most jobs have another environment, and start faster without.
    from shutil import which

    from remote.agent.environments import conda_prefixes

    source = request.source
    if source.startswith(CONDA):
        return conda_prefixes.prefix(source[len(CONDA) :])
    place = request.root / os.path.expanduser(source)
    # A name alone may be a program's.
    program = None if "/" in source or place.exists() else which(source)
    return Path(program) if program else place


def check(folder: Path, request: Request, modules: Sequence[str]) -> None:
    """Raises JobError where it doesn't start, is too old, or lacks a module."""
    from remote.agent.environments.modules import require

    path = python(folder, request)
    require(path, modules, f"{path} -m pip install")


def record(request: Request) -> Mapping[str, str]:
    """There is no lock file."""
    return {}


def packages(code: Path) -> Mapping[str, str]:
    """What was there, each job notes itself (remote.runtime.installed)."""
    return {}
