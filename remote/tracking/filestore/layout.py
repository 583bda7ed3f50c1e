"""Where a file store keeps what.

<id>/meta.yaml, tags/                          an experiment; deleted ones are below .trash/
<id>/datasets/<hash>/meta.yaml
<id>/<run>/meta.yaml, params/, tags/, metrics/, inputs/, outputs/, artifacts/
<id>/models/m-…/meta.yaml, params/, tags/, metrics/, artifacts/
<id>/traces/<trace>/trace_info.yaml, tags/, request_metadata/, assessments/, artifacts/
models/<name>/meta.yaml, tags/, aliases/, version-<n>/meta.yaml, version-<n>/tags/
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Mapping, Sequence
from urllib.parse import unquote

from remote.tracking.filestore.scan import subfolders

META = "meta.yaml"
TRACE_META = "trace_info.yaml"
MODELS = "models"
TRACES = "traces"
TRASH = ".trash"

RUN_PARTS = ("params", "tags", "metrics", "inputs", "outputs")
MODEL_PARTS = ("params", "tags", "metrics")
TRACE_PARTS = ("tags", "request_metadata", "assessments")
EXPERIMENT_PARTS = ("tags", "datasets")
_NOT_RUNS = {"tags", "datasets", TRACES, MODELS, TRASH}

_EXPERIMENT_ID = re.compile(r"(?:0|[1-9][0-9]{0,17})\Z", re.ASCII)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


@dataclass(frozen=True)
class Place:
    """The folder of an experiment: `inside` the store, `3` or `.trash/3`."""

    id: int
    inside: str
    path: str

    @property
    def is_deleted(self) -> bool:
        return self.inside.startswith(TRASH)


def is_file_store(folder: Path) -> bool:
    """True for a folder with an experiment in it, if only a deleted one."""
    try:
        return any(os.path.isfile(f"{place.path}/{META}") for place in experiments(str(folder), []))
    except OSError:
        return False


def experiments(root: str, links: List[str]) -> List[Place]:
    """All folders that can be experiments; those that are links are added to `links`.

    Looked at twice, since one that is restored meanwhile moves from the second place to the first.
    """
    found: Dict[int, Place] = {}
    for inside in ("", TRASH + "/", ""):
        folder = os.path.join(root, inside) if inside else root
        if inside and (os.path.islink(folder.rstrip("/")) or not os.path.isdir(folder)):
            continue
        real, linked = subfolders(folder)
        for name in real:
            if _EXPERIMENT_ID.match(name):
                place = Place(int(name), inside + name, f"{root}/{inside}{name}")
                found.setdefault(place.id, place)
        names = (inside + name for name in linked if _EXPERIMENT_ID.match(name))
        links += [name for name in names if name not in links]
    return [found[each] for each in sorted(found)]


def runs(place: Place) -> List[str]:
    return [name for name in _folders(place.path) if name not in _NOT_RUNS]


def models(place: Place) -> List[str]:
    return _folders(f"{place.path}/{MODELS}")


def traces(place: Place) -> List[str]:
    return _folders(f"{place.path}/{TRACES}")


def registered_models(root: str) -> List[str]:
    return _folders(f"{root}/{MODELS}")


def _folders(path: str) -> List[str]:
    if os.path.islink(path):
        return []
    try:
        return subfolders(path)[0]
    except (FileNotFoundError, NotADirectoryError):
        return []


class Artifacts:
    """Says where artifacts lie now.

    A meta.yaml says where they lay when it was written: the store may have been moved since, the
    path may be relative to a forgotten working directory, a deleted experiment has gone to .trash.
    """

    def __init__(self, root: str, places: Sequence[Place], roots: Sequence[str]) -> None:
        name = re.escape(os.path.basename(root))
        self._known = re.compile(rf"(?:.*/)?(?:mlruns|{name})/([0-9]+)((?:/.*)?)\Z", re.ASCII)
        self._places: Mapping[str, str] = {str(place.id): place.path for place in places}
        self._is_ours = any(root.startswith(each.rstrip("/") + "/") for each in roots)

    def now(self, location: object) -> object:
        """`location`, if it isn't below an experiment's own folder."""
        if not self._is_ours or not isinstance(location, str):
            return location
        path = location
        if path.startswith("file:"):
            path = unquote(re.sub(r"\Afile:(//(localhost)?(?=/))?", "", path))
        elif _SCHEME.match(path):
            return location
        match = self._known.match(path)
        if match is None or match.group(1) not in self._places:
            return location
        return self._places[match.group(1)] + match.group(2)
