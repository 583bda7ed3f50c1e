"""Where conda, mamba and micromamba are on this server, and the environments that they keep."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Tuple

from remote.errors import JobError

#: The faster ones first.
PROGRAMS = ("micromamba", "mamba", "conda")

#: Where their installers put them. They have the account's shell set PATH, in files that it reads
#: for a terminal alone.
HOMES = ("miniforge3", "mambaforge", "miniconda3", "anaconda3", "micromamba")
ROOTS = (*(f"~/{name}" for name in HOMES), *(f"/opt/{name}" for name in ("conda", *HOMES[:4])))


def program() -> Optional[str]:
    """One of them, on PATH or where installers put it; None without one."""
    below = [root / folder for root in _roots() for folder in ("bin", "condabin")]
    own = [Path.home() / ".local/bin", Path.home() / "bin"]
    places = [os.environ.get("PATH", os.defpath), *map(str, [*own, *below])]
    found = (shutil.which(name, path=place) for place in places for name in PROGRAMS)
    return next(filter(None, found), None)


def prefix(name: str) -> Path:
    """The folder of the environment of that name; raises JobError."""
    known: Dict[str, Path] = {}
    for own, folder in _environments():
        known.setdefault(own, folder)
    if name not in known:
        names = ", ".join(sorted(known)) or "none where conda keeps them"
        raise JobError(
            f"There is no conda environment {name!r} on this server; there are: {names}.",
            'Name another one by its folder: python = "/path/to/environment"',
        )
    return known[name]


def _roots() -> List[Path]:
    """The folders of installations, those that variables name first."""
    variables = ("MAMBA_ROOT_PREFIX", "CONDA_ROOT")
    named = [os.environ[name] for name in variables if os.environ.get(name)]
    exe = os.environ.get("CONDA_EXE") or shutil.which("conda")
    # <root>/bin/conda, or <root>/condabin/conda
    named += [str(Path(exe).parents[1])] if exe else []
    folders = [Path(os.path.expanduser(root)) for root in (*named, *ROOTS)]
    return [folder for folder in dict.fromkeys(folders) if folder.is_dir()]


def _environments() -> Iterator[Tuple[str, Path]]:
    """Name and folder of each."""
    roots = _roots()
    settings = (os.environ.get(name, "") for name in ("CONDA_ENVS_DIRS", "CONDA_ENVS_PATH"))
    places = [Path(place) for text in settings for place in text.split(os.pathsep) if place]
    places += [root / "envs" for root in roots] + [Path.home() / ".conda/envs"]
    folders = [folder for place in places for folder in sorted(place.glob("*"))]
    # conda's own list of all that this account ever made.
    with contextlib.suppress(OSError):
        lines = (Path.home() / ".conda/environments.txt").read_text("utf-8", "replace")
        folders += [Path(line) for line in lines.splitlines() if line]
    for name, folder in [("base", root) for root in roots] + [
        (path.name, path) for path in folders
    ]:
        if (folder / "conda-meta").is_dir():
            yield name, folder
