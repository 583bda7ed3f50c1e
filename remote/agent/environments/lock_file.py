"""Which lock file a project has, and all that counts beside it."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

from remote.errors import JobError

#: The best-defined first.
LOCK_FILES: Tuple[str, ...] = (
    "uv.lock",
    "requirements.lock",
    "pylock.toml",
    "poetry.lock",
    "requirements.txt",
)

#: Those that mean something only together with pyproject.toml.
WITH_PROJECT = ("uv.lock", "poetry.lock")

#: With these, each extra has a lock file of its own, such as requirements-gpu.lock.
REQUIREMENTS = ("requirements.lock", "requirements.txt")

_EXTRA = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?\Z")
_INCLUDED = re.compile(r"^\s*(?:-r|-c|--requirements?|--constraints?)[\s=]*(\S+)", re.MULTILINE)
#: The tables of uv's own settings; TOML has no other way to begin a line with `[`, near enough.
_UV_TABLES = re.compile(rb"^\[+tool\.uv\b.*?(?=^\[(?!\[?tool\.uv\b)|\Z)", re.MULTILINE | re.DOTALL)

_COMPILE = "Make one: uv pip compile --universal --generate-hashes"


def lock_file(code: Path, extras: Sequence[str] = ()) -> Path:
    """The lock file of a project, which these extras can be had with; raises JobError."""
    lock = next((code / name for name in LOCK_FILES if (code / name).is_file()), None)
    if lock is None:
        raise JobError(
            f"The project has no lock file ({', '.join(LOCK_FILES)}).",
            f"{_COMPILE} pyproject.toml -o requirements.lock",
        )
    for extra in extras:
        if not _EXTRA.match(extra):
            raise JobError(f"{extra!r} can't be the name of an extra.", "Such as: --extra gpu")
    if lock.name in WITH_PROJECT and not (code / "pyproject.toml").is_file():
        raise JobError(
            f"{lock.name} needs the pyproject.toml that it was made from.",
            "Is it there, and does .rsyncignore let it through?",
        )
    for extra, file in zip(sorted(set(extras)), requirement_files(lock, extras)[1:]):
        if lock.name in REQUIREMENTS and not file.is_file():
            raise JobError(
                f"The extra {extra} has no lock file {file.name} beside {lock.name}.",
                f"{_COMPILE} --extra {extra} -c {lock.name} pyproject.toml -o {file.name}",
            )
    return lock


def digest(lock: Path, python: str, extras: Sequence[str] = ()) -> str:
    """A name for all that an environment is made from: the lock file, Python's version, extras."""
    total = hashlib.sha256()
    for part in (lock.name, python, *sorted(set(extras))):
        total.update(part.encode("utf-8", "surrogateescape") + b"\0")
    for name, data in sorted(_content(lock, extras).items()):
        head = f"{name}\0{len(data)}\0"
        total.update(head.encode("utf-8", "surrogateescape") + data)
    return total.hexdigest()


def requirement_files(lock: Path, extras: Sequence[str]) -> List[Path]:
    """The requirement files to install: the lock file, and that of each extra beside it."""
    names = [f"{lock.stem}-{extra}{lock.suffix}" for extra in sorted(set(extras))]
    return [lock, *(lock.with_name(name) for name in names)]


def _content(lock: Path, extras: Sequence[str]) -> Dict[str, bytes]:
    """All that decides on what is installed, by its path beside the lock file."""
    declared = lock.with_name("pyproject.toml")
    files = [lock, declared] if lock.name in WITH_PROJECT else [lock]
    if lock.name in REQUIREMENTS:
        files = _with_included(requirement_files(lock, extras))
    content = {os.path.relpath(str(file), str(lock.parent)): _read(file) for file in files}
    content["uv.toml"] = _read(lock.with_name("uv.toml"))
    # Of what is declared, uv's own settings (indexes, sources) decide with any lock file.
    content["[tool.uv]"] = b"".join(_UV_TABLES.findall(_read(declared)))
    return content


def _with_included(files: Sequence[Path]) -> List[Path]:
    """`files`, and the ones that their lines `-r` and `-c` name."""
    seen: List[Path] = []
    todo = list(files)
    while todo:
        file = todo.pop(0)
        # Files may include each other.
        if file not in seen:
            seen.append(file)
            names = _INCLUDED.findall(_read(file).decode("utf-8", "replace"))
            todo += [Path(os.path.normpath(str(file.parent / name))) for name in names]
    return [file for file in seen if file.is_file()]


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""
