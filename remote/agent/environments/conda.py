"""Environments that the server's own micromamba, mamba or conda makes from environment.yml, one for
each content."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Dict, List, Mapping, Sequence, Tuple

from remote.agent.environments import local_packages
from remote.agent.environments.requirement_files import first_of, read, with_included
from remote.errors import JobError
from remote.files import is_file_or_dangling, sha256

if TYPE_CHECKING:
    from remote.agent.environments import Request
    from remote.agent.environments.make_once import Recipe

IS_MADE = True
STARTS_ELSEWHERE = False
NO_EXTRAS = "Name the packages in environment.yml, and leave out --extra."

LOCK_FILES: Tuple[str, ...] = ("environment.yml", "environment.yaml")

#: They ask nobody, and pip sees no packages of the account's own.
_VARIABLES = {
    "CONDA_ALWAYS_YES": "true",
    "MAMBA_ALWAYS_YES": "true",
    "PIP_NO_INPUT": "1",
    "PYTHONNOUSERSITE": "1",
}

#: What a login with an active environment has set.
_ACTIVE = ("VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV", "CONDA_SHLVL", "PYTHONPATH")

INSTALL = (
    "Install one there, such as micromamba into ~/.local/bin, or name an environment: python = …"
)


def suits(code: Path) -> bool:
    """Whether there is an environment.yml."""
    return any(is_file_or_dangling(code / name) for name in LOCK_FILES)


def _file(code: Path) -> Path:
    file = first_of(code, LOCK_FILES)
    if file is None:
        raise JobError(
            "The project has no environment.yml.", "Make one: conda env export > environment.yml"
        )
    return file


def key(request: Request) -> str:
    """The beginning of a SHA-256 of all that counts; raises JobError without an environment.yml."""
    file, total = _file(request.code), hashlib.sha256(b"conda\0")
    files = with_included([file])
    content = {os.path.relpath(str(path), str(request.code)): read(path) for path in files}
    content.update(local_packages.contents(request.code, files))
    for name, data in sorted(content.items()):
        head = f"{name}\0{len(data)}\0"
        total.update(head.encode("utf-8", "surrogateescape") + data)
    return total.hexdigest()[:16]


def missing_programs() -> Tuple[str, ...]:
    """None can be brought: conda's programs are built for one kind of machine each."""
    return ()


def recipe(folder: Path, request: Request) -> Recipe:
    """What has one of them make it; raises JobError."""
    from remote.agent.environments.make_once import Recipe

    file = _file(request.code)
    packages = local_packages.folders(request.code, with_included([file]))
    kept = {name: value for name, value in os.environ.items() if name not in _ACTIVE}
    return Recipe(
        source=file.name,
        commands=[_command(_program(file), folder, file.name)],
        # Paths of the part for pip are meant from there.
        cwd=local_packages.copy_for(folder) if packages else request.code,
        variables={**kept, **_VARIABLES},
        local_packages=packages,
    )


def _program(file: Path) -> str:
    # Only who makes one looks for them; most jobs start faster without.
    from remote.agent.environments import conda_prefixes

    program = conda_prefixes.program()
    if program is None:
        names = ", ".join(conda_prefixes.PROGRAMS)
        raise JobError(f"{file.name} needs one of {names}, and the server has none.", INSTALL)
    return program


def _command(program: str, folder: Path, name: str) -> List[str]:
    place = ["--prefix", str(folder), "--file", name]
    # micromamba has one command for both.
    kind = ["create"] if Path(program).name == "micromamba" else ["env", "create"]
    return [program, *kind, "--quiet", *place]


def python(folder: Path, request: Request) -> Path:
    """That of the prefix."""
    return folder / "bin" / "python"


def check(folder: Path, request: Request, modules: Sequence[str]) -> None:
    """Raises JobError where nothing can make it; once it is made, where it has no Python, or lacks a
    module."""
    from remote.agent.environments.modules import require

    file, path = _file(request.code), python(folder, request)
    if not (folder / "conda-meta").is_dir():
        _program(file)
        return
    add = f"Add to {file.name}:"
    if not path.is_file():
        raise JobError(f"The environment of {file.name} has no Python.", f"{add} python")
    require(path, modules, add)


def record(request: Request) -> Mapping[str, str]:
    """The SHA-256 of environment.yml."""
    return {"lock": sha256(_file(request.code))}


def packages(code: Path) -> Dict[str, str]:
    """What it asks for is seldom exact: what became of that, each job notes itself."""
    return {}
