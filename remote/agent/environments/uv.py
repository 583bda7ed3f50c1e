"""uv's command lines for each kind of lock file: pure; `making` runs them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Sequence

from remote.agent.environments.lock_file import requirements


@dataclass(frozen=True)
class Step:
    """One call of uv, with the environment variables that it needs besides."""

    argv: List[str]
    env: Dict[str, str] = field(default_factory=dict)


def steps(uv: str, env: Path, lock: Path, python: str, extras: Sequence[str]) -> List[Step]:
    """What makes the environment `env`; to be run in the lock file's folder."""
    version = ["--python", python] if python else []
    if lock.name == "uv.lock":
        return [_sync(uv, env, version, extras)]
    made = Step([uv, "venv", "--no-project", *version, str(env)])
    into = ["--python", str(env / "bin" / "python")]
    if lock.name == "poetry.lock":
        exported = str(env.with_suffix(".requirements"))
        export = _export(uv, exported, extras)
        return [export, made, Step([uv, "pip", "sync", *into, exported])]
    if lock.name == "pylock.toml":
        return [made, Step([uv, "pip", "sync", *into, *_each("--extra", extras), lock.name])]
    return [made, Step([uv, "pip", *_requirements(lock, into, extras)])]


def _sync(uv: str, env: Path, version: List[str], extras: Sequence[str]) -> Step:
    """The default groups come too: what `uv run` has on the laptop, the job has here.

    Nothing is editable: it would lead into the snapshot of the job that happened to come first.
    """
    argv = [uv, "sync", "--frozen", "--no-install-project", "--no-editable", *version]
    return Step([*argv, *_each("--extra", extras)], {"UV_PROJECT_ENVIRONMENT": str(env)})


def _export(uv: str, file: str, extras: Sequence[str]) -> Step:
    """Only Poetry itself reads its lock file right; its own plugin turns it into requirements."""
    tool = [uv, "tool", "run", "--python", ">=3.10", "--from", "poetry"]
    argv = [*tool, "--with", "poetry-plugin-export", "poetry", "--no-interaction", "export"]
    options = ["--all-groups", *_each("--extras", extras), "--output", file]
    return Step([*argv, *options], {"POETRY_VIRTUALENVS_CREATE": "false"})


def _requirements(lock: Path, into: List[str], extras: Sequence[str]) -> List[str]:
    """A file with hashes lists all there is to install; one written by hand needs resolving."""
    files = requirements(lock, extras)
    if lock.suffix == ".lock" or b"--hash=" in lock.read_bytes():
        return ["sync", *into, *(file.name for file in files)]
    return ["install", *into, *_each("-r", [file.name for file in files])]


def _each(option: str, values: Sequence[str]) -> List[str]:
    return [part for value in sorted(set(values)) for part in (option, value)]
