"""Which lock file a project has, all that counts beside it, and the name that follows from it."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Dict, List, Sequence

from remote.errors import JobError
from remote.job.paths import STATE

#: The best-defined first.
LOCK_FILES = ("uv.lock", "requirements.lock", "pylock.toml", "poetry.lock", "requirements.txt")

#: Lock files that mean something only together with the project's declaration.
WITH_PROJECT = ("uv.lock", "poetry.lock")

_EXTRA = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?\Z")
_INCLUDED = re.compile(r"^\s*(?:-r|-c|--requirements?|--constraints?)[\s=]*(\S+)", re.MULTILINE)
#: The tables of uv's own settings; TOML has no other way to begin a line with `[`, near enough.
_UV_TABLES = re.compile(rb"^\[+tool\.uv\b.*?(?=^\[(?!\[?tool\.uv\b)|\Z)", re.MULTILINE | re.DOTALL)


def lock_file(code: Path, extras: Sequence[str] = ()) -> Path:
    """The lock file of a project, which these extras can be had with; raises JobError."""
    for name in LOCK_FILES:
        if (code / name).is_file():
            _check(code / name, extras)
            return code / name
    raise JobError(
        f"The project has no lock file ({', '.join(LOCK_FILES)}).",
        "Make one: uv pip compile --universal --generate-hashes pyproject.toml"
        " -o requirements.lock",
    )


def folder(root: Path, lock: Path, python: str, extras: Sequence[str] = ()) -> Path:
    """Where the environment for this lock file and this demand on Python's version lies."""
    total = hashlib.sha256()
    for part in (lock.name, python, *sorted(set(extras))):
        total.update(part.encode("utf-8", "surrogateescape") + b"\0")
    for name, data in sorted(_content(lock, extras).items()):
        head = f"{name}\0{len(data)}\0"
        total.update(head.encode("utf-8", "surrogateescape") + data)
    return root / STATE / "envs" / total.hexdigest()[:16]


def requirements(lock: Path, extras: Sequence[str]) -> List[Path]:
    """The requirement files to install: the lock file, and that of each extra beside it."""
    names = [f"{lock.stem}-{extra}{lock.suffix}" for extra in sorted(set(extras))]
    return [lock, *(lock.with_name(name) for name in names)]


def _check(lock: Path, extras: Sequence[str]) -> None:
    for extra in extras:
        if not _EXTRA.match(extra):
            raise JobError(f"{extra!r} can't be the name of an extra.", "Such as: --extra gpu")
    if lock.name in WITH_PROJECT and not lock.with_name("pyproject.toml").is_file():
        raise JobError(
            f"{lock.name} needs the pyproject.toml that it was made from.",
            "Is it there, and does .rsyncignore let it through?",
        )
    if lock.stem == "requirements":
        _check_files(lock, extras)


def _check_files(lock: Path, extras: Sequence[str]) -> None:
    for extra, file in zip(sorted(set(extras)), requirements(lock, extras)[1:]):
        if not file.is_file():
            raise JobError(
                f"The extra {extra} has no lock file {file.name} beside {lock.name}.",
                f"Make one: uv pip compile --universal --generate-hashes --extra {extra}"
                f" -c {lock.name} pyproject.toml -o {file.name}",
            )


def _content(lock: Path, extras: Sequence[str]) -> Dict[str, bytes]:
    """All that decides on what is installed, by its path beside the lock file."""
    files = [lock]
    if lock.name in WITH_PROJECT:
        files.append(lock.with_name("pyproject.toml"))
    elif lock.stem == "requirements":
        files = _with_included(requirements(lock, extras))
    found = {os.path.relpath(str(file), str(lock.parent)): _read(file) for file in files}
    found["uv.toml"] = _read(lock.with_name("uv.toml"))
    found["[tool.uv]"] = b"".join(_UV_TABLES.findall(_read(lock.with_name("pyproject.toml"))))
    return found


def _with_included(files: Sequence[Path]) -> List[Path]:
    """`files`, and the ones that their lines `-r` and `-c` name."""
    found: List[Path] = []
    todo = list(files)
    while todo:
        file = todo.pop(0)
        if file in found:
            continue
        found.append(file)
        names = _INCLUDED.findall(_read(file).decode("utf-8", "replace"))
        todo += [Path(os.path.normpath(str(file.parent / name))) for name in names]
    return [file for file in found if file.is_file()]


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""
