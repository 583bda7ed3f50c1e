"""What jobs write below a target's root: a table, from which push, snapshots and pull follow.

A new folder for results is a row here (and a line of `.gitignore`). A project adds rows of its own
by `outputs` in pyproject.toml: a name with a suffix (`model.pkl`) is a file, any other, or one that
ends in a slash, a folder.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Iterable, NamedTuple, Optional, Tuple

from remote.job.paths import STATE


class Output(NamedTuple):
    """A folder that jobs write, or a file."""

    path: str
    shared: bool = True
    """Whether all jobs write to the same one: a snapshot links to it, or to the folder above."""
    pulled: bool = True
    """Whether a pull brings it as it is. MLflow's records and artifacts come by the merge."""
    is_file: bool = False


TABLE = (
    Output("data/results"),
    Output("data/processed"),
    Output("logs"),
    Output("outputs"),
    Output("multirun"),
    Output("mlruns", pulled=False),
    # MLflow's server makes it where one runs in the project; jobs write to mlruns.
    Output("mlartifacts", shared=False, pulled=False),
    Output("mlflow.db", pulled=False, is_file=True),
)

#: What may be at an output's path: a folder with something in it, one with nothing, anything else,
#: nothing, a link that leads nowhere, or what can't be looked at.
FILLED, EMPTY, FILE, ABSENT, DANGLING, UNREADABLE = STATES = (
    "filled", "empty", "file", "absent", "dangling", "unreadable",
)  # fmt: skip

#: The folders that a target gets when it is made ready.
FOLDERS = tuple(output.path for output in TABLE if output.shared and not output.is_file)

#: A name that a project may declare: below the root, nothing hidden, no wildcard of rsync's.
_PART = r"[^/\\*?\[\]\x00-\x1f\x7f.~\s-](?:[^/\\*?\[\]\x00-\x1f\x7f]*[^/\\*?\[\]\x00-\x1f\x7f\s])?"
DECLARED = rf"{_PART}(?:/{_PART})*/?"


def table(declared: Iterable[str] = ()) -> Tuple[Output, ...]:
    """All rows, with those that a project declares."""
    own = (Output(name.rstrip("/"), is_file="." in name.rsplit("/", 1)[-1]) for name in declared)
    return (*TABLE, *own)


def paths(declared: Iterable[str] = ()) -> Tuple[str, ...]:
    """What a push never sends or deletes."""
    return tuple(output.path for output in table(declared))


def links(declared: Iterable[str] = ()) -> Tuple[str, ...]:
    """What a snapshot links to instead of copying it. `data` as a whole: jobs also read from it."""
    shared = (output.path for output in table(declared) if output.shared)
    return tuple(dict.fromkeys("data" if below(path, ["data"]) else path for path in shared))


def state_at(root: Path, path: str) -> str:
    """Which of STATES an output of a target or a project is in; links are followed."""
    try:
        with os.scandir(str(root / path)) as entries:
            return FILLED if next(entries, None) else EMPTY
    except NotADirectoryError:
        return FILE
    except FileNotFoundError:
        return DANGLING if dangling_link(root, path) else ABSENT
    except OSError:
        return UNREADABLE


def dangling_link(root: Path, path: str) -> Optional[str]:
    """The link below `root`, at a path or above it, that leads nowhere."""
    folders = [str(folder) for folder in (Path(path), *Path(path).parents)]
    links = (name for name in folders if (root / name).is_symlink())
    return next((name for name in links if not (root / name).exists()), None)


def below(name: str, tops: Iterable[str]) -> bool:
    """Whether a path is one of these, or lies below one."""
    return any(name == top or name.startswith(f"{top}/") for top in tops)


def is_left_alone(name: str, declared: Iterable[str] = ()) -> bool:
    """Whether no push replaces the file of that path below the root: it is a job's, or ours."""
    return below(name, (STATE, *links(declared), *paths(declared)))
