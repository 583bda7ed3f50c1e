"""What a project declares to be its jobs' own: `outputs` of `[tool.remote]` in pyproject.toml.

A pull writes there what a server sends, and a push leaves it alone: so it can't be code.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from remote.config import pyproject
from remote.errors import ConfigError
from remote.job import outputs
from remote.operations.git import tracked
from remote.operations.transfers import linked_folders

SETTING = "[tool.remote] outputs in pyproject.toml"

#: Folders and files of which everybody knows that they are a project's own.
RESERVED = ("src", "data", "data/raw", "remote", "tests", "config", "makefile", "mlproject")

#: How code and settings end.
CODE = (".py", ".ipynb", ".sh", ".toml", ".lock", ".cfg", ".ini", ".mk")


def declared_outputs(root: Path) -> tuple[str, ...]:
    """The names, checked, each once; raises ConfigError."""
    try:
        tables = pyproject(root)
    except (OSError, ValueError) as error:
        # Taken for none, they would be pushed over.
        raise ConfigError(f"pyproject.toml can't be read: {error}.") from None
    names: object = tables
    for key in ("tool", "remote", "outputs"):
        names = names.get(key, []) if isinstance(names, dict) else []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f'{SETTING} has to be a list of names, such as ["out", "model.pkl"].')
    for name in names:
        reason = refusal(root, name)
        if reason:
            raise ConfigError(f"{SETTING}: {name!r} {reason}.", "Name a folder that jobs write.")
    return without_repetition(names)


def without_repetition(names: Sequence[str]) -> tuple[str, ...]:
    """Those that no other one holds, and no folder of all projects."""
    paths = {name.rstrip("/"): name for name in names}
    shared = [row.path for row in outputs.TABLE]
    return tuple(
        name
        for path, name in paths.items()
        if not outputs.below(path, [*shared, *(paths.keys() - {path})])
    )


def refusal(root: Path, name: str) -> str:
    """Why a name can't be an output of the project, to follow the name; empty where it can."""
    path = name.rstrip("/")
    # The disk of a Mac takes SRC and src for the same.
    plain = path.casefold()
    if len(name) > 255 or not re.fullmatch(outputs.DECLARED, name):
        return "is no plain path below the project's root (nothing hidden, no .., no wildcards)"
    if plain.startswith(("mlflow.db", "mlruns", "mlartifacts")):
        return "is MLflow's, and comes by the merge"
    if plain in RESERVED or plain.startswith("data/raw/"):
        return "is the project's own, and not its jobs'"
    if plain.endswith(CODE) or any((root / path).glob("*.py")):
        return "is code, or holds some"
    if linked_folders.refusal(root, path):
        return "lies behind a link that isn't yours, or leads nowhere"
    return "is in git" if tracked(root, path) else ""
