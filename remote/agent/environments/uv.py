"""Environments that uv makes from a lock file, whichever tool wrote that."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import IO, Dict, List, Mapping, Sequence, Tuple

from remote.agent.environments import make_once
from remote.agent.environments.base import Request

# `LOCK_FILES` and `is_ready` are names that an environment has to have.
from remote.agent.environments.lock_file import LOCK_FILES as LOCK_FILES
from remote.agent.environments.lock_file import (
    Installer,
    digest,
    format_of,
    lock_file,
    requirement_files,
)
from remote.agent.environments.make_once import Command
from remote.agent.environments.make_once import is_ready as is_ready
from remote.agent.target_dir import find_uv
from remote.errors import JobError
from remote.files import sha256


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


def make(folder: Path, request: Request, log: IO[bytes], *, job: str) -> None:
    """Have uv make it from the lock file; raises JobError."""
    lock = lock_file(request.code, request.extras)
    extras = f" with {', '.join(request.extras)}" if request.extras else ""
    recipe = make_once.Recipe(
        source=lock.name + extras,
        commands=lambda: commands(_uv(), folder, lock, request.python, request.extras),
        cwd=lock.parent,
        variables=_settings(),
        # A line for each of a hundred packages; the lock file says the same.
        omitted=b" + ",
    )
    make_once.make_once(folder, recipe, log, job=job)


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


def _uv() -> str:
    uv = find_uv()
    if uv is None:
        raise JobError("uv is not on this server any more.", "Run the job again: uv is brought.")
    return uv


def _settings() -> Dict[str, str]:
    """uv's environment: the certificates of the system, as a company's proxy needs them."""
    variables = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    variables.setdefault("UV_SYSTEM_CERTS", "1")
    variables.setdefault("UV_NO_PROGRESS", "1")
    return variables


def commands(
    uv: str, folder: Path, lock: Path, python: str, extras: Sequence[str]
) -> List[Command]:
    """What makes the environment `folder`; to be run in the lock file's folder."""
    version = ["--python", python] if python else []
    installer = format_of(lock).installer
    if installer is Installer.SYNC:
        return [_sync(uv, folder, version, extras)]
    venv = Command([uv, "venv", "--no-project", *version, str(folder)])
    into = ["--python", str(folder / "bin" / "python")]
    if installer is Installer.POETRY:
        exported = str(folder.with_suffix(".requirements"))
        export = _export(uv, exported, extras)
        return [export, venv, Command([uv, "pip", "sync", *into, exported])]
    if installer is Installer.PYLOCK:
        options = _repeated("--extra", extras)
        return [venv, Command([uv, "pip", "sync", *into, *options, lock.name])]
    return [venv, Command([uv, "pip", *_requirements(lock, into, extras)])]


def _sync(uv: str, folder: Path, version: List[str], extras: Sequence[str]) -> Command:
    """The default groups come too: what `uv run` has on the laptop, the job has here.

    Nothing is editable: it would lead into the snapshot of the job that happened to come first.
    """
    argv = [uv, "sync", "--frozen", "--no-install-project", "--no-editable", *version]
    return Command([*argv, *_repeated("--extra", extras)], {"UV_PROJECT_ENVIRONMENT": str(folder)})


def _export(uv: str, file: str, extras: Sequence[str]) -> Command:
    """Only Poetry itself reads its lock file right; its own plugin turns it into requirements."""
    tool = [uv, "tool", "run", "--python", ">=3.10", "--from", "poetry"]
    argv = [*tool, "--with", "poetry-plugin-export", "poetry", "--no-interaction", "export"]
    options = ["--all-groups", *_repeated("--extras", extras), "--output", file]
    return Command([*argv, *options], {"POETRY_VIRTUALENVS_CREATE": "false"})


def _requirements(lock: Path, into: List[str], extras: Sequence[str]) -> List[str]:
    """A file with hashes lists all there is to install; one written by hand needs resolving."""
    names = [file.name for file in requirement_files(lock, extras)]
    if lock.suffix == ".lock" or b"--hash=" in lock.read_bytes():
        return ["sync", *into, *names]
    return ["install", *into, *_repeated("-r", names)]


def _repeated(option: str, values: Sequence[str]) -> List[str]:
    return [part for value in sorted(set(values)) for part in (option, value)]
