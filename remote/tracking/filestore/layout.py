"""Where a file store keeps what.

<id>/meta.yaml, tags/                          an experiment; deleted ones are below .trash/
<id>/datasets/<hash>/meta.yaml
<id>/<run>/meta.yaml, params/, tags/, metrics/, inputs/, outputs/, artifacts/
<id>/models/m-…/meta.yaml, params/, tags/, metrics/, artifacts/
<id>/traces/<trace>/, models/<name>/            traces and registered models: not read, see NOT_READ
"""

from __future__ import annotations

import glob
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Mapping, Sequence
from urllib.parse import unquote

from remote.tracking.filestore.scan import subfolders

META = "meta.yaml"
MODELS = "models"
TRACES = "traces"
TRASH = ".trash"

RUN_PARTS = ("params", "tags", "metrics", "inputs", "outputs")
MODEL_PARTS = ("params", "tags", "metrics")
EXPERIMENT_PARTS = ("tags", "datasets")
_NOT_RUNS = {"tags", "datasets", TRACES, MODELS, TRASH}
NOT_READ = {
    "traces": "*/traces/*/trace_info.yaml",
    "assessments": "*/traces/*/assessments/*.yaml",
    "registered models": "models/*/meta.yaml",
    "prompts": "models/*/tags/mlflow.prompt.is_prompt",
}
"""What else MLflow keeps in a file store, by the pattern of its files below the root.

In words, not as tables are called: of a table, the user is told which flag brings it.
"""

_EXPERIMENT_ID = re.compile(r"(?:0|[1-9][0-9]{0,17})\Z", re.ASCII)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


@dataclass(frozen=True)
class ExperimentFolder:
    """Where an experiment lies: `name` is its path below the store's root, `3` or `.trash/3`."""

    id: int
    name: str
    path: str

    @property
    def is_deleted(self) -> bool:
        return self.name.startswith(TRASH + "/")


def is_file_store(folder: Path) -> bool:
    """True for a folder with an experiment in it, if only a deleted one."""
    try:
        folders = experiments(str(folder), [])
        return any(os.path.isfile(f"{experiment.path}/{META}") for experiment in folders)
    except OSError:
        return False


def experiments(root: str, links: List[str]) -> List[ExperimentFolder]:
    """All folders that can be experiments; the names of those that are links are added to `links`.

    Looked at twice, since one that is restored meanwhile moves from the second place to the first.
    """
    folders: Dict[int, ExperimentFolder] = {}
    for above in ("", TRASH + "/", ""):
        top = os.path.join(root, above) if above else root
        if above and (os.path.islink(top.rstrip("/")) or not os.path.isdir(top)):
            continue
        real, linked = subfolders(top)
        for name in filter(_EXPERIMENT_ID.match, real):
            folder = ExperimentFolder(int(name), above + name, f"{root}/{above}{name}")
            folders.setdefault(folder.id, folder)
        names = (above + name for name in linked if _EXPERIMENT_ID.match(name))
        links += [name for name in names if name not in links]
    return [folders[number] for number in sorted(folders)]


def runs(experiment: ExperimentFolder) -> List[str]:
    return [name for name in _folders(experiment.path) if name not in _NOT_RUNS]


def models(experiment: ExperimentFolder) -> List[str]:
    return _folders(f"{experiment.path}/{MODELS}")


def not_read(root: str) -> List[str]:
    """The kinds of records that the store has and that aren't read, by their names in NOT_READ."""
    return [
        kind
        for kind, pattern in NOT_READ.items()
        if next(glob.iglob(f"{glob.escape(root)}/{pattern}"), None) is not None
    ]


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

    def __init__(
        self, root: str, experiments: Sequence[ExperimentFolder], roots: Sequence[str]
    ) -> None:
        """`roots` are folders that the puller reaches: outside of them, paths stay as written."""
        name = re.escape(os.path.basename(root))
        self._pattern = re.compile(rf"(?:.*/)?(?:mlruns|{name})/([0-9]+)((?:/.*)?)\Z", re.ASCII)
        self._paths: Mapping[str, str] = {str(folder.id): folder.path for folder in experiments}
        self._is_reachable = any(root.startswith(above.rstrip("/") + "/") for above in roots)

    def now(self, location: object) -> object:
        """`location`, if it isn't below an experiment's own folder."""
        if not self._is_reachable or not isinstance(location, str):
            return location
        path = location
        if path.startswith("file:"):
            path = unquote(re.sub(r"\Afile:(//(localhost)?(?=/))?", "", path))
        elif _SCHEME.match(path):
            return location
        match = self._pattern.match(path)
        if match is None or match.group(1) not in self._paths:
            return location
        return self._paths[match.group(1)] + match.group(2)
