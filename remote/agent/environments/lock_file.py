"""Which lock file a project has, and all that counts beside it."""

from __future__ import annotations

import enum
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Sequence

from remote.errors import JobError


class Installer(enum.Enum):
    """How uv takes a lock file."""

    SYNC = "uv sync"
    REQUIREMENTS = "uv pip, with requirement files"
    PYLOCK = "uv pip sync, with a pylock.toml (PEP 751)"
    POETRY = "Poetry's export, then uv pip"


@dataclass(frozen=True)
class LockFormat:
    """A kind of lock file.

    One that `needs_project` means something only together with pyproject.toml. With
    `extras_beside` each extra has a lock file of its own, such as requirements-gpu.lock.
    """

    installer: Installer
    needs_project: bool = False
    extras_beside: bool = False


#: By the file's name, the best-defined first.
LOCK_FORMATS: Dict[str, LockFormat] = {
    "uv.lock": LockFormat(Installer.SYNC, needs_project=True),
    "requirements.lock": LockFormat(Installer.REQUIREMENTS, extras_beside=True),
    "pylock.toml": LockFormat(Installer.PYLOCK),
    "poetry.lock": LockFormat(Installer.POETRY, needs_project=True),
    "requirements.txt": LockFormat(Installer.REQUIREMENTS, extras_beside=True),
}
LOCK_FILES = tuple(LOCK_FORMATS)

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


def format_of(lock: Path) -> LockFormat:
    """The format of a lock file, which its name tells."""
    return LOCK_FORMATS[lock.name]


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


def _check(lock: Path, extras: Sequence[str]) -> None:
    for extra in extras:
        if not _EXTRA.match(extra):
            raise JobError(f"{extra!r} can't be the name of an extra.", "Such as: --extra gpu")
    if format_of(lock).needs_project and not lock.with_name("pyproject.toml").is_file():
        raise JobError(
            f"{lock.name} needs the pyproject.toml that it was made from.",
            "Is it there, and does .rsyncignore let it through?",
        )
    if format_of(lock).extras_beside:
        _check_files(lock, extras)


def _check_files(lock: Path, extras: Sequence[str]) -> None:
    for extra, file in zip(sorted(set(extras)), requirement_files(lock, extras)[1:]):
        if not file.is_file():
            raise JobError(
                f"The extra {extra} has no lock file {file.name} beside {lock.name}.",
                f"Make one: uv pip compile --universal --generate-hashes --extra {extra}"
                f" -c {lock.name} pyproject.toml -o {file.name}",
            )


def _content(lock: Path, extras: Sequence[str]) -> Dict[str, bytes]:
    """All that decides on what is installed, by its path beside the lock file."""
    files = [lock]
    if format_of(lock).needs_project:
        files.append(lock.with_name("pyproject.toml"))
    elif format_of(lock).extras_beside:
        files = _with_included(requirement_files(lock, extras))
    content = {os.path.relpath(str(file), str(lock.parent)): _read(file) for file in files}
    content["uv.toml"] = _read(lock.with_name("uv.toml"))
    # Of what is declared, uv's own settings (indexes, sources) decide with any lock file.
    content["[tool.uv]"] = b"".join(_UV_TABLES.findall(_read(lock.with_name("pyproject.toml"))))
    return content


def _with_included(files: Sequence[Path]) -> List[Path]:
    """`files`, and the ones that their lines `-r` and `-c` name."""
    seen: List[Path] = []
    todo = list(files)
    while todo:
        file = todo.pop(0)
        # Files may include each other.
        if file in seen:
            continue
        seen.append(file)
        names = _INCLUDED.findall(_read(file).decode("utf-8", "replace"))
        todo += [Path(os.path.normpath(str(file.parent / name))) for name in names]
    return [file for file in seen if file.is_file()]


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""
