"""What a job may run: a notebook, a script or module, an MLproject; found by what was typed."""

from __future__ import annotations

from pathlib import Path

from remote.errors import JobError, NotebookError
from remote.programs import mlproject, notebook, script
from remote.programs.mlproject import Project as MLProject
from remote.programs.notebook import Notebook
from remote.programs.script import Script

FileProgram = Notebook | Script | MLProject


def find(root: Path, name: str, entry_point: str = "") -> FileProgram:
    """The program called `name`, read; raises RemoteError that says what there is.

    `entry_point` is one of an MLproject's.
    """
    folder = _project_folder(root, name)
    if folder is not None:
        return mlproject.read(folder, root, entry_point)
    if entry_point:
        raise JobError(f"{name} is no MLproject, so it has no entry points.")
    program = script.find(root, name) if name.endswith(script.SUFFIXES) else None
    return program or _notebook_or_module(root, name)


def _notebook_or_module(root: Path, name: str) -> FileProgram:
    if name.endswith(script.SUFFIXES):
        raise JobError(f"There is no script {name!r}.", "A path counts from here, or the root.")
    try:
        return notebook.read(notebook.find(root, name), root)
    except NotebookError:
        module = None if name.endswith(".ipynb") else script.find(root, name)
        if module is None:
            raise
        return module


def _project_folder(root: Path, name: str) -> Path | None:
    for folder in (Path(name), root / name):
        if mlproject.is_project(folder):
            return folder
    return None
