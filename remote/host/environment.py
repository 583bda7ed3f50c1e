"""One immutable environment for each lock file, made by uv, once, however many jobs need it."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import IO, Dict, List

from remote.errors import JobError
from remote.files import locked
from remote.host.place import find_uv
from remote.job import STATE

#: Lock files that `uv pip sync` reads, the best first.
LOCK_FILES = ("requirements.lock", "pylock.toml", "requirements.txt")


def lock_file(code: Path) -> Path:
    """The lock file of a project; raises JobError."""
    for name in LOCK_FILES:
        if (code / name).is_file():
            return code / name
    raise JobError(
        f"The project has no lock file ({', '.join(LOCK_FILES)}).",
        "Make one: uv pip compile --universal --generate-hashes pyproject.toml"
        " -o requirements.lock",
    )


def folder(root: Path, lock: Path, python: str) -> Path:
    """Where the environment for this lock file and this demand on Python's version lies."""
    content = lock.read_bytes() + b"\0" + python.encode() + b"\0" + lock.name.encode()
    return root / STATE / "envs" / hashlib.sha256(content).hexdigest()[:16]


def is_ready(env: Path) -> bool:
    """Whether the environment was made to its end."""
    return (env / ".complete").is_file()


def ensure(env: Path, lock: Path, python: str, log: IO[bytes]) -> None:
    """Make the environment unless it is there; what uv says goes to `log`; raises JobError.

    `python` is a version specifier such as `>=3.10`. Who comes second waits for the first.
    """
    if is_ready(env):
        return
    with locked(env.with_suffix(".lock")):
        if is_ready(env):
            return
        if env.exists():
            shutil.rmtree(str(env))
        _make(env, lock, python, log)
        (env / ".complete").write_text("")


def _make(env: Path, lock: Path, python: str, log: IO[bytes]) -> None:
    uv = find_uv()
    if uv is None:
        raise JobError("uv is not on this server any more.", "Run the job again: uv is brought.")
    version = ["--python", python] if python else []
    _uv([uv, "venv", "--no-project", *version, str(env)], lock.parent, log)
    interpreter = str(env / "bin" / "python")
    _uv([uv, "pip", "sync", "--python", interpreter, lock.name], lock.parent, log)


def _uv(argv: List[str], cwd: Path, log: IO[bytes]) -> None:
    process = subprocess.Popen(
        argv,
        cwd=str(cwd),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=_settings(),
    )
    assert process.stdout is not None
    for line in process.stdout:
        # A line for each of a hundred packages; the lock file says the same.
        if not line.startswith(b" + "):
            log.write(line)
    code = process.wait()
    if code:
        raise JobError(
            f"The environment could not be made: uv ended with {code}.",
            "Its words are in the job's log.",
        )


def _settings() -> Dict[str, str]:
    """uv's environment: the certificates of the system, as a company's proxy needs them."""
    found = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    found.setdefault("UV_SYSTEM_CERTS", "1")
    found.setdefault("UV_NO_PROGRESS", "1")
    return found


def activated(env: Path, base: Dict[str, str]) -> Dict[str, str]:
    """`base` with the environment first on PATH."""
    path = f"{env / 'bin'}{os.pathsep}{base.get('PATH', os.defpath)}"
    return {**base, "PATH": path, "VIRTUAL_ENV": str(env)}
