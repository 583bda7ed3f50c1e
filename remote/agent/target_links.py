"""Links that a project's settings ask for in a target, such as `data/imagenet` to `/datasets/imagenet`.

Each copy of the project has a note of those that it asked for, and takes away no others.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Dict, Iterator, Mapping

from remote.errors import TargetError
from remote.files import is_absent, locked, read_json, write_json
from remote.job.outputs import below, paths
from remote.job.paths import STATE

_OTHER = "Change the entry in `links` of pyproject.toml, or remove it."


def arrange(root: Path, project: str, links: Mapping[str, str]) -> None:
    """Have these links be there, and those that this copy of the project asks for no more be gone;
    raises TargetError, also for what stands in the way."""
    note = _note(root, project)
    if not links and not note.exists():
        return
    with locked(root / STATE / "links.lock", "another push to this target"):
        before = _read(note)
        for name, place in links.items():
            _check(root, name, place)
            if any(below(name, [other]) for other in links if other != name):
                raise TargetError(f"`links` names {name}, which lies behind another link.", _OTHER)
        for name, place in before.items():
            if name not in links and _leads(root / name) == place:
                (root / name).unlink()
        # Written first: what is there and not in the note would be nobody's.
        write_json(note, {**before, **links})
        for name, place in links.items():
            _make(root, name, place, before.get(name))
        write_json(note, dict(links))


def places(root: Path) -> Iterator[str]:
    """Where the links of all copies of the project lead."""
    for note in (root / STATE / "projects").glob("*/links.json"):
        yield from _read(note).values()


def _note(root: Path, project: str) -> Path:
    return root / STATE / "projects" / project / "links.json"


def _read(note: Path) -> Dict[str, str]:
    return read_json(note) or {}


def _leads(path: Path) -> str:
    """What a link leads to; empty for what is none."""
    with contextlib.suppress(OSError):
        return os.readlink(str(path))
    return ""


def _check(root: Path, name: str, place: str) -> None:
    """Raises TargetError for a link that would lead jobs or pushes astray, or to nothing."""
    outputs = paths()
    if below(name, [STATE, *outputs]) or any(below(output, [name]) for output in outputs):
        raise TargetError(
            f"`links` names {name}, where jobs write results that a pull copies.",
            f"Make it a link on the server itself: ln -s {place} {root / name}",
        )
    real = os.path.realpath(place)
    if not os.path.lexists(real):
        raise TargetError(
            f"{place}, the destination of {name}, doesn't exist on the server.", _OTHER
        )
    if below(real, [str(root)]) or Path(real) in root.parents:
        raise TargetError(f"{place}, the destination of {name}, is the target itself.", _OTHER)


def _make(root: Path, name: str, place: str, before: object) -> None:
    path = root / name
    if _leads(path) == place:
        return
    if before is not None and _leads(path) == before:
        path.unlink()
    with contextlib.suppress(OSError):
        # An empty folder is in nobody's way.
        path.rmdir()
    if not is_absent(path):
        raise TargetError(
            f"{path} exists on the server, and is no link to {place}.",
            "Move it away on the server, or remove the entry from `links` in pyproject.toml.",
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    os.symlink(place, str(path))
