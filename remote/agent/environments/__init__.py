"""One immutable environment for each lock file, made by uv, once, however many jobs need it.

Below the target's `.remote/envs/`: `<name>/` with `.complete` in it once it is made to its end,
`<name>.lock`, `<name>.log` (what uv said, grows) and `<name>.json` (the latest attempt to make it).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, Dict, Sequence

from remote.agent.environments.lock_file import LOCK_FILES, folder, lock_file

__all__ = ["LOCK_FILES", "activated", "ensure", "folder", "is_ready", "lock_file"]


def is_ready(env: Path) -> bool:
    """Whether the environment was made to its end."""
    return (env / ".complete").is_file()


def ensure(
    env: Path,
    lock: Path,
    python: str,
    log: IO[bytes],
    extras: Sequence[str] = (),
    *,
    job: str = "",
) -> None:
    """Make the environment unless it is there; what uv says goes to `log`; raises JobError.

    `python` is a version specifier such as `>=3.10`. Who comes second waits for the first and
    sees the same words; `job` is what the others are told about who makes it.
    """
    if is_ready(env):
        return
    # Submitting a job needs the environment's name only, and starts faster without.
    from remote.agent.environments import build

    build.make_once(env, build.Order(lock, python, tuple(extras)), log, job=job)


def activated(env: Path, base: Dict[str, str]) -> Dict[str, str]:
    """`base` with the environment first on PATH."""
    path = f"{env / 'bin'}{os.pathsep}{base.get('PATH', os.defpath)}"
    return {**base, "PATH": path, "VIRTUAL_ENV": str(env)}
