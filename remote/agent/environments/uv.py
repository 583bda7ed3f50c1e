"""Environments that uv makes from a lock file, whichever tool wrote that."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Dict, List, Mapping, Sequence, Tuple

from remote.agent.environments.lock_file import LOCK_FILES as LOCK_FILES
from remote.agent.environments.lock_file import digest, lock_file, requirement_files
from remote.agent.target_dir import find_uv
from remote.errors import JobError
from remote.files import sha256

if TYPE_CHECKING:
    from remote.agent.environments import Request
    from remote.agent.environments.make_once import Recipe


def suits(code: Path) -> bool:
    """Whether there is a lock file."""
    return any((code / name).is_file() for name in LOCK_FILES)


def key(request: Request) -> str:
    """The beginning of a SHA-256 of all that counts; raises JobError without a lock file."""
    lock = lock_file(request.code, request.extras)
    return digest(lock, request.python, request.extras)[:16]


def missing_programs() -> Tuple[str, ...]:
    """uv, where it isn't here."""
    return () if find_uv() else ("uv",)


def recipe(folder: Path, request: Request) -> Recipe:
    """What has uv make it from the lock file; raises JobError."""
    from remote.agent.environments.make_once import Recipe

    uv, lock = find_uv(), lock_file(request.code, request.extras)
    if uv is None:
        raise JobError("uv is not on this server any more.", "Run the job again: uv is brought.")
    extras = f" with {', '.join(request.extras)}" if request.extras else ""
    variables = {
        # The certificates of the system, as a company's proxy needs them.
        "UV_SYSTEM_CERTS": "1",
        "UV_NO_PROGRESS": "1",
        **{name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"},
        "UV_PROJECT_ENVIRONMENT": str(folder),
        "POETRY_VIRTUALENVS_CREATE": "false",
    }
    return Recipe(
        source=lock.name + extras,
        commands=_commands(uv, folder, lock, request),
        cwd=lock.parent,
        variables=variables,
        # A line for each of a hundred packages; the lock file says the same.
        omitted=b" + ",
    )


def _commands(uv: str, folder: Path, lock: Path, request: Request) -> List[List[str]]:
    extras, version = request.extras, ["--python", request.python] if request.python else []
    if lock.name == "uv.lock":
        # The default groups come too: what `uv run` has on the laptop, the job has here. Nothing is
        # editable: it would lead into the snapshot of the job that happened to come first.
        sync = [uv, "sync", "--frozen", "--no-install-project", "--no-editable", *version]
        return [[*sync, *_repeated("--extra", extras)]]
    venv = [uv, "venv", "--no-project", *version, str(folder)]
    into = ["--python", str(python(folder))]
    if lock.name == "poetry.lock":
        # Only Poetry itself reads its lock file right; its own plugin turns it into requirements.
        tool = [uv, "tool", "run", "--python", ">=3.10", "--from", "poetry"]
        poetry = [*tool, "--with", "poetry-plugin-export", "poetry", "--no-interaction"]
        exported = str(folder.with_suffix(".requirements"))
        options = ["--all-groups", *_repeated("--extras", extras), "--output", exported]
        return [[*poetry, "export", *options], venv, [uv, "pip", "sync", *into, exported]]
    if lock.name == "pylock.toml":
        return [venv, [uv, "pip", "sync", *into, *_repeated("--extra", extras), lock.name]]
    names = [file.name for file in requirement_files(lock, extras)]
    # A file with hashes lists all there is to install; one written by hand needs resolving.
    if lock.suffix == ".lock" or b"--hash=" in lock.read_bytes():
        return [venv, [uv, "pip", "sync", *into, *names]]
    return [venv, [uv, "pip", "install", *into, *_repeated("-r", names)]]


def _repeated(option: str, values: Sequence[str]) -> List[str]:
    return [part for value in sorted(set(values)) for part in (option, value)]


def python(folder: Path) -> Path:
    """That of the virtual environment."""
    return folder / "bin" / "python"


def record(request: Request) -> Mapping[str, str]:
    """The SHA-256 of the lock file."""
    return {"lock": sha256(lock_file(request.code, request.extras))}


def packages(code: Path) -> Dict[str, str]:
    """From `name==1.2` lines, or from TOML's tables of packages."""
    try:
        text = lock_file(code).read_text("utf-8", "replace")
    except (JobError, OSError):
        return {}
    lines = re.findall(r"^([A-Za-z0-9][\w.-]*)==([^\s;\\]+)", text, re.MULTILINE)
    tables = re.findall(r'^name = "([^"]+)"\nversion = "([^"]+)"', text, re.MULTILINE)
    return dict(lines or tables)
