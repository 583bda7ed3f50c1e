"""Secrets of a target: in one file there, readable by its owner alone."""

from __future__ import annotations

from pathlib import Path
from typing import Dict

from remote.agent.target_dir import root_of
from remote.errors import JobError
from remote.files import locked, read_json, write_json
from remote.job.messages.target import SecretAnswer, SecretRequest
from remote.job.paths import NAME_PATTERN, STATE


def file_of(root: Path) -> Path:
    """Where they are."""
    return root / STATE / "secrets.json"


def read(root: Path) -> Dict[str, str]:
    """All secrets of a target by name."""
    secrets: Dict[str, str] = read_json(file_of(root)) or {}
    return secrets


def change(request: SecretRequest) -> SecretAnswer:
    """Set one secret, or forget it."""
    root, name, value = root_of(request.key), request.name, request.value
    if not name:
        return SecretAnswer(tuple(sorted(read(root))))
    if not NAME_PATTERN.match(name):
        raise JobError(f"{name!r} can't be the name of an environment variable.")
    with locked(root / STATE / "secrets.lock"):
        secrets = read(root)
        if value is None and name not in secrets:
            raise JobError(f"There is no secret {name} on this target.")
        secrets.pop(name, None)
        if value is not None:
            secrets[name] = value
        write_json(file_of(root), secrets, mode=0o600)
    return SecretAnswer(tuple(sorted(secrets)))
