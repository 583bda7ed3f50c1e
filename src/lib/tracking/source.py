"""The code that a run comes from: the calling notebook and its twin, committed if wanted."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from . import notebook
from .git import Refused, Repository
from .notebook import Unknown


@dataclass(frozen=True)
class Source:
    """`commit` and `branch` are what is checked out, `name` is the notebook's path in there.

    `holds` tells whether the notebook, as it ran, is in that commit; `problem` why it isn't, and
    `remark` what else there is to say.
    """

    name: str = ""
    commit: str = ""
    branch: str = ""
    holds: bool = False
    problem: str = ""
    remark: str = ""

    @property
    def tags(self) -> dict[str, str]:
        """For MLflow, which knows the first three too."""
        found = {
            "mlflow.source.git.commit": self.commit,
            "mlflow.source.git.branch": self.branch,
            "mlflow.source.name": self.name,
            "save_mlflow.commit": self.commit if self.holds else "",
            "save_mlflow.not_committed": self.problem,
        }
        return {name: value for name, value in found.items() if value}


def found(folder: Path | None, *, commit: bool, message: str) -> Source:
    """Where the calling code lies in git, after its commit. Never fails: records matter more.

    `folder` is one of the repository; without it, the notebook's own.
    """
    try:
        path = notebook.calling()
    except Unknown as reason:
        return _without_notebook(folder, str(reason))
    if _is_snapshot(path):
        return _of_job()
    try:
        repository = Repository(folder or path.parent)
        name = repository.name(path)
    except Refused as reason:
        if folder is None and "REMOTE_JOB_TAGS" in os.environ:
            return _of_job()
        return _without_notebook(folder, str(reason))
    return _settled(repository, path, name, commit=commit, message=message)


def _settled(
    repository: Repository, path: Path, name: str, *, commit: bool, message: str
) -> Source:
    problem, remark, names = "", "", [name]
    behind = notebook.is_behind(path)
    try:
        if commit and path.suffix == ".ipynb":
            twin, remark = notebook.update_twin(path)
            names += [repository.name(twin)] if twin else []
        names = [each for each in names if each == name or not repository.ignores(each)]
        if commit and repository.differs(names):
            repository.commit(names, f"{path.name}: {message}")
        holds = not repository.differs([name])
        problem = "" if holds else "it has changes, and do_commit is False"
    except (Refused, OSError, ValueError) as reason:
        holds, problem = False, str(reason)
    if holds and behind:
        holds, problem = False, "the cell that runs is not in the file: save the notebook before"
    return Source(name, repository.head, repository.branch, holds, problem, remark)


def _without_notebook(folder: Path | None, problem: str) -> Source:
    """All that can be said is what the repository is at, if there is one."""
    try:
        repository = Repository(folder or Path.cwd())
    except Refused:
        return Source(problem=problem)
    return Source(commit=repository.head, branch=repository.branch, problem=problem)


def _is_snapshot(path: Path) -> bool:
    """Whether a job runs the copy of the code that was frozen for it, and not the project."""
    job = os.environ.get("REMOTE_JOB_ID")
    return job is not None and job in path.parts


def _of_job() -> Source:
    """The job's tags, which every run of it has, say which commit was sent."""
    tags = json.loads(os.environ.get("REMOTE_JOB_TAGS", "{}"))
    commit = tags.get("mlflow.source.git.commit", "")[:10]
    told = f"the commit that it was sent from is {commit}" if commit else "nor had its code one"
    return Source(
        name=tags.get("remote.source", ""), problem=f"a job has no repository of its own; {told}"
    )
