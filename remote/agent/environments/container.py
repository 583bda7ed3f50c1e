"""Environments that are images: run by Apptainer, Singularity, or Docker where this account may.

What stands for one is a folder with a `python` that starts the image's own (`in_container.py`); an
image that has to be fetched is fetched once.
"""

from __future__ import annotations

import hashlib
import json
import os
import pkgutil
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from remote.agent import processes
from remote.errors import JobError

if TYPE_CHECKING:
    from remote.agent.environments import Request
    from remote.agent.environments.make_once import Recipe

IS_MADE = True

#: Docker's engine starts them, and not the worker.
STARTS_ELSEWHERE = True
NO_EXTRAS = "Add the extra's packages to the image, and leave out --extra."

#: What it holds, no file of the project's says.
LOCK_FILES: Tuple[str, ...] = ()

HINT = '[tool.remote] image names one: "x.sif" in the target, or "pytorch/pytorch:2.8.0".'
ENGINES = "Ask its administrator for Apptainer, or for access to Docker (the group docker)."

#: Where others than Docker's own engine fetch an image from.
_SCHEMES = ("docker://", "oras://", "library://", "shub://")

#: Fails where what starts jobs can't run.
_TRIAL = "import sys; sys.exit('Jobs need Python 3.8 there' if sys.version_info < (3, 8) else 0)"


class _Image(NamedTuple):
    """`file` is an image that is there; `name` one that is fetched."""

    file: Optional[Path] = None
    name: str = ""


def _image(request: Request) -> _Image:
    source = request.source
    if not source:
        raise JobError("The environment is to be a container, and no image is named.", HINT)
    if source.startswith(_SCHEMES):
        return _Image(name=source)
    file = request.root / os.path.expanduser(source)
    if source.endswith((".sif", ".simg")) or source.startswith(("/", "~", "./")) or file.exists():
        return _Image(file=file)
    return _Image(name=source)


def _engine(image: _Image) -> str:
    """The program that runs it; raises JobError."""
    from shutil import which

    programs = [which(name) for name in ("apptainer", "singularity")]
    docker = None if image.file or image.name.startswith(_SCHEMES) else which("docker")
    if docker and processes.answer([docker, "version", "--format", "{{.Server.Version}}"]):
        return docker
    engine = next(filter(None, programs), None)
    if engine is None:
        not_allowed = " (Docker is installed, but this account may not use it)" if docker else ""
        raise JobError(
            f"{image.file or image.name} needs Apptainer, Singularity or Docker, and the server has"
            f" none{not_allowed}.",
            ENGINES,
        )
    return engine


def suits(code: Path) -> bool:
    """Only a setting asks for it."""
    return False


def key(request: Request) -> str:
    """A name for the image, as it is now where it is a file, and for how it is started."""
    image = _image(request)
    total = hashlib.sha256(_program() + os.fsencode(str(image.file or image.name)))
    if image.file and image.file.exists():
        status = image.file.stat()
        total.update(f" {status.st_size} {status.st_mtime_ns}".encode())
    return f"container-{total.hexdigest()[:12]}"


def _program() -> bytes:
    return pkgutil.get_data("remote.agent.environments", "in_container.py") or b""


def missing_programs() -> Tuple[str, ...]:
    """None can be brought."""
    return ()


def recipe(folder: Path, request: Request) -> Recipe:
    """What fetches the image, and tries its Python; raises JobError."""
    from remote.agent.environments.make_once import Recipe

    image = _image(request)
    engine = _engine(image)
    if ":" in str(request.root):
        raise JobError(
            f"No container can be given {request.root}: its name has a colon.",
            "Push to a folder without one: make sync-push TARGET_DIR=user@host:/proj",
        )
    name, fetch = _fetched(engine, image, folder)
    python(folder, request).parent.mkdir(parents=True)
    rootless = "rootless" in (processes.answer([engine, "info"]) or "") and "docker" in engine
    settings = {"engine": engine, "image": name, "rootless": "yes" if rootless else ""}
    (folder / "container.json").write_text(json.dumps(settings), "utf-8")
    (folder / "in_container.py").write_bytes(_program())
    start = f'exec {shlex.quote(sys.executable)} -IS "${{0%/*}}/../in_container.py" "$@"'
    python(folder, request).write_text(f"#!/bin/sh\n{start}\n", "utf-8")
    python(folder, request).chmod(0o755)
    return Recipe(
        source=request.source,
        commands=[*fetch, [str(python(folder, request)), "-c", _TRIAL]],
        cwd=request.root,
        variables=dict(os.environ),
    )


def _fetched(engine: str, image: _Image, folder: Path) -> Tuple[str, List[List[str]]]:
    """What the engine calls an image, and the commands that fetch it."""
    if image.file:
        if not image.file.exists():
            raise JobError(f"There is no image {image.file} on this server.", HINT)
        return str(image.file), []
    if Path(engine).name == "docker":
        there = processes.answer([engine, "image", "inspect", "--format", "{{.Id}}", image.name])
        return image.name, [] if there else [[engine, "pull", "--quiet", image.name]]
    name = image.name if image.name.startswith(_SCHEMES) else f"docker://{image.name}"
    return "image.sif", [[engine, "pull", str(folder / "image.sif"), name]]


def python(folder: Path, request: Request) -> Path:
    """What starts the image's."""
    return folder / "bin" / "python"


def check(folder: Path, request: Request, modules: Sequence[str]) -> None:
    """Raises JobError where nothing here can run it; once it is there, where it lacks a module."""
    from remote.agent.environments import COMPLETE
    from remote.agent.environments.modules import require

    if not (folder / COMPLETE).is_file():
        image = _image(request)
        _fetched(_engine(image), image, folder)
    elif modules:
        require(python(folder, request), modules, f"Add to the image {request.source}:")


def record(request: Request) -> Mapping[str, str]:
    """There is no lock file."""
    return {}


def packages(code: Path) -> Mapping[str, str]:
    """What was there, each job notes itself."""
    return {}
