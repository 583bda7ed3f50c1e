"""uv's command lines for each format of a lock file: pure, `uv` has them run."""

from __future__ import annotations

from pathlib import Path
from typing import List, Sequence

from remote.agent.environments.lock_file import Installer, format_of, requirement_files
from remote.agent.environments.make_once import Command


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
