"""Secrets of a target: in one file there, readable by its owner alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Optional

from remote.agent.target_dir import root_of
from remote.errors import JobError
from remote.files import locked, read_json, write_json
from remote.job.paths import NAME_PATTERN, STATE


def file_of(root: Path) -> Path:
    """Where they are."""
    return root / STATE / "secrets.json"


def read(root: Path) -> Dict[str, str]:
    """All secrets of a target by name."""
    found: Dict[str, str] = read_json(file_of(root)) or {}
    return found


def change(*, key: str, name: str = "", value: Optional[str] = None) -> Dict[str, Any]:
    """Set one secret (or forget it, with `value` None); the names of all come back."""
    root = root_of(key)
    if not name:
        return {"names": sorted(read(root))}
    if not NAME_PATTERN.match(name):
        raise JobError(f"{name!r} can't be the name of an environment variable.")
    with locked(root / STATE / "secrets.lock"):
        known = read(root)
        if value is None and name not in known:
            raise JobError(f"There is no secret {name} on this target.")
        known.pop(name, None)
        changed = known if value is None else {**known, name: value}
        write_json(file_of(root), changed, mode=0o600)
    return {"names": sorted(changed)}
