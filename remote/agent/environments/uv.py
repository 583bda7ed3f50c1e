"""Environments that uv makes from a lock file, whichever tool wrote that."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Dict, List, Mapping, Sequence, Tuple

from remote.agent.environments import local_packages, torch_backend
from remote.agent.environments.requirement_files import (
    first_of,
    read,
    text_of,
    with_included,
)
from remote.agent.target_dir import find_uv
from remote.errors import JobError
from remote.files import is_file_or_dangling, sha256

if TYPE_CHECKING:
    from remote.agent.environments import Request
    from remote.agent.environments.make_once import Recipe

IS_MADE = True
STARTS_ELSEWHERE = False
NO_EXTRAS = ""

#: The best-defined first.
LOCK_FILES = tuple("uv.lock requirements.lock pylock.toml poetry.lock requirements.txt".split())

#: Those that mean something only together with pyproject.toml.
WITH_PROJECT = ("uv.lock", "poetry.lock")

#: With these, each extra has a lock file of its own, such as requirements-gpu.lock.
REQUIREMENTS = ("requirements.lock", "requirements.txt")

_EXTRA = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?\Z")
#: The tables of uv's own settings; TOML has no other way to begin a line with `[`, near enough.
_UV_TABLES = re.compile(rb"^\[+tool\.uv\b.*?(?=^\[(?!\[?tool\.uv\b)|\Z)", re.MULTILINE | re.DOTALL)

#: What `.python-version` may ask for, such as `3.12`, `cpython@3.12.4`, `pypy3.11`, `>=3.11`.
_PINNED = re.compile(r"(?:[a-z]+[-@]?|[<>=~!]+)?\d[\w.,<>=~!*+-]*\Z")
_POETRY_PYTHON = re.compile(r'^python-versions = "(.*)"$', re.MULTILINE)

_COMPILE = "Make one: uv pip compile --universal --generate-hashes"


def suits(code: Path) -> bool:
    """Whether there is a lock file."""
    return any(is_file_or_dangling(code / name) for name in LOCK_FILES)


def key(request: Request) -> str:
    """The beginning of a SHA-256 of all that counts; raises JobError without a lock file."""
    lock, backend = lock_file(request.code, request.extras), request.torch_backend
    name = digest(lock, python_version(request), request.extras)[:16]
    return torch_backend.key(name, backend) if backend else name


def python_version(request: Request) -> str:
    """The Python that is asked for: `.python-version` as uv reads it, then what the project
    allows; empty for any."""
    lines = read(request.code / ".python-version").decode("utf-8", "replace").splitlines()
    pins = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if pins and _PINNED.match(pins[0]):
        return pins[0]
    lock = lock_file(request.code)
    declared = _POETRY_PYTHON.findall(text_of(lock))
    if request.python or lock.name != "poetry.lock" or not declared:
        return request.python
    # Of a lock file, the last one is the project's own.
    return poetry_specifier(declared[-1])


def poetry_specifier(constraint: str) -> str:
    """Poetry's `^3.10` or `~3.10.2` as a version specifier (PEP 440); of alternatives the last."""
    text = re.sub(r"([<>=!~^])\s+", r"\1", constraint.split("||")[-1].strip())
    return ",".join(filter(None, map(_specifier, re.split(r"[\s,]+", text))))


def _specifier(part: str) -> str:
    match = re.match(r"(\^|~)?(\d+)(?:\.(\d+))?([.\d]*)(?:\.\*)?\Z", part)
    if not match:
        return "" if part == "*" else part
    sign, major, minor, _ = match.groups()
    version = part.lstrip("^~")
    if sign is None:
        return f"=={version if version.endswith('*') else version + '.*'}"
    narrow = sign == "~" and minor is not None
    return f">={version},<{f'{major}.{int(minor) + 1}' if narrow else int(major) + 1}"


def missing_programs() -> Tuple[str, ...]:
    """uv, where it isn't here."""
    return () if find_uv() else ("uv",)


def recipe(folder: Path, request: Request) -> Recipe:
    """What has uv make it from the lock file; raises JobError."""
    from remote.agent.environments.make_once import Recipe

    uv, lock = find_uv(), lock_file(request.code, request.extras)
    if uv is None:
        raise JobError(
            "uv is not on this server any more.", "Run the job again: uv is copied to the server."
        )
    extras = f" with {', '.join(request.extras)}" if request.extras else ""
    packages = local_packages.folders(request.code, lock_files(lock, request.extras))
    variables = {
        # The certificates of the system, as a company's proxy needs them.
        "UV_SYSTEM_CERTS": "1",
        "UV_NO_PROGRESS": "1",
        **{name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"},
        "UV_PROJECT_ENVIRONMENT": str(folder),
        "POETRY_VIRTUALENVS_CREATE": "false",
        "UV_NO_EDITABLE": "1",
    }
    return Recipe(
        source=lock.name + extras,
        commands=_with_backend(_commands(uv, folder, lock, request), folder, lock, request),
        cwd=local_packages.copy_for(folder) if packages else lock.parent,
        variables=variables,
        # A line for each of a hundred packages; the lock file says the same.
        omitted=b" + ",
        local_packages=packages,
    )


def _with_backend(
    commands: List[List[str]], folder: Path, lock: Path, request: Request
) -> List[List[str]]:
    """The same commands, or those that install the build of PyTorch that is asked for."""
    if not request.torch_backend:
        return commands
    texts = [read(file).decode("utf-8", "replace") for file in lock_files(lock, request.extras)]
    return torch_backend.commands(commands, request.torch_backend, lock, texts, folder)


def _commands(uv: str, folder: Path, lock: Path, request: Request) -> List[List[str]]:
    extras, asked = request.extras, python_version(request)
    version = ["--python", asked] if asked else []
    if lock.name == "uv.lock":
        # The default groups come too: what `uv run` has on the laptop, the job has here.
        sync = [uv, "sync", "--frozen", "--no-editable", *version]
        return [[*sync, *_repeated("--extra", extras)]]
    venv = [uv, "venv", "--no-project", *version, str(folder)]
    into = ["--python", str(python(folder, request))]
    if lock.name == "poetry.lock":
        # Only Poetry itself reads its lock file right; its own plugin turns it into requirements.
        tool = [uv, "tool", "run", "--python", ">=3.10", "--from", "poetry"]
        poetry = [*tool, "--with", "poetry-plugin-export", "poetry", "--no-interaction"]
        exported = str(folder.with_suffix(".requirements"))
        options = ["--all-groups", *_repeated("--extras", extras), "--output", exported]
        return [[*poetry, "export", *options], venv, [uv, "pip", "sync", *into, exported]]
    if lock.name == "pylock.toml":
        return [venv, [uv, "pip", "sync", *into, *_repeated("--extra", extras), lock.name]]
    names = [file.name for file in requirement_files(lock, extras)]
    # A file with hashes lists all there is to install; one written by hand needs resolving.
    if lock.suffix == ".lock" or b"--hash=" in lock.read_bytes():
        return [venv, [uv, "pip", "sync", *into, *names]]
    return [venv, [uv, "pip", "install", *into, *_repeated("-r", names)]]


def _repeated(option: str, values: Sequence[str]) -> List[str]:
    return [part for value in sorted(set(values)) for part in (option, value)]


def python(folder: Path, request: Request) -> Path:
    """That of the virtual environment."""
    return folder / "bin" / "python"


def check(folder: Path, request: Request, modules: Sequence[str]) -> None:
    """Its lock file is the project's own: what a job misses there is told as it runs."""


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


def lock_file(code: Path, extras: Sequence[str] = ()) -> Path:
    """The lock file of a project, which these extras can be had with; raises JobError."""
    lock = first_of(code, LOCK_FILES)
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
            "Does it exist, and does .rsyncignore allow it?",
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
    declared = lock.with_name("pyproject.toml")
    files = lock_files(lock, extras)
    content = {os.path.relpath(str(file), str(lock.parent)): read(file) for file in files}
    content["uv.toml"] = read(lock.with_name("uv.toml"))
    # Of what is declared, uv's own settings (indexes, sources) decide with any lock file.
    content["[tool.uv]"] = b"".join(_UV_TABLES.findall(read(declared)))
    content.update(local_packages.contents(lock.parent, files))
    total = hashlib.sha256()
    for part in (lock.name, python, *sorted(set(extras))):
        total.update(part.encode("utf-8", "surrogateescape") + b"\0")
    for name, data in sorted(content.items()):
        head = f"{name}\0{len(data)}\0"
        total.update(head.encode("utf-8", "surrogateescape") + data)
    return total.hexdigest()


def lock_files(lock: Path, extras: Sequence[str]) -> List[Path]:
    """All files of the project that say what to install."""
    if lock.name in REQUIREMENTS:
        return with_included(requirement_files(lock, extras))
    return [lock, lock.with_name("pyproject.toml")] if lock.name in WITH_PROJECT else [lock]


def requirement_files(lock: Path, extras: Sequence[str]) -> List[Path]:
    """The requirement files to install: the lock file, and that of each extra beside it."""
    names = [f"{lock.stem}-{extra}{lock.suffix}" for extra in sorted(set(extras))]
    return [lock, *(lock.with_name(name) for name in names)]
