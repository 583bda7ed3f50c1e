"""Submit: what is asked of a job, checked here, handed to the agent."""

from __future__ import annotations

import getpass
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Mapping

from remote import git, notebook
from remote.config import Project
from remote.errors import JobError, NotebookError
from remote.notebook import Notebook
from remote.operations import uv
from remote.server import Server


@dataclass(frozen=True)
class Submitted:
    """A job that was accepted. Without `environment_ready` its environment is made first."""

    id: str
    environment_ready: bool


def submit(server: Server, job: Mapping[str, Any], *, say: Callable[[str], None]) -> Submitted:
    """Start the job on the server; brings uv there first if need be."""
    request = {**job, "target": str(server.target)}
    answer = server.call("submit", job=request, socket=server.socket)
    if answer.get("need") == "uv":
        say("bringing uv to the server (once)")
        uv.bring(server, answer["platform"])
        answer = server.call("submit", job=request, socket=server.socket)
    if "id" not in answer:
        raise JobError("uv was brought to the server, but does not run there.")
    return Submitted(answer["id"], answer["environment_ready"])


def describe(
    project: Project, source: Notebook, parameters: Mapping[str, Any], *, output: str = ""
) -> dict[str, Any]:
    """What job.json says of a notebook job; raises NotebookError.

    `output` names the executed notebook; without it, it is called like the notebook.
    """
    if source.path.is_absolute():
        raise NotebookError(
            f"{source.path} lies outside of the project {project.root}.",
            "Only what is pushed can run there: copy it into src/notebooks/.",
        )
    name = Path(output or source.path.name).name
    return {
        "name": source.path.stem,
        "output": name[: -len(".ipynb")] if name.endswith(".ipynb") else name,
        "notebook": source.path.as_posix(),
        "parameters": dict(parameters),
        "defaults": {each.name: notebook.literal(each.default) for each in source.parameters},
        "language": source.language,
        "experiment": experiment(project, source, parameters),
        "continues_run": source.continues_run,
        "python": requires_python(project.root),
        "git": git.state(project.root),
        "user": getpass.getuser(),
        "project": project_name(project.root),
    }


def experiment(project: Project, source: Notebook, parameters: Mapping[str, Any]) -> str:
    """The MLflow experiment of the job's run: the notebook's, a setting's, or the project's."""
    if source.experiment is None:
        chosen = project.settings.get("MLFLOW_EXPERIMENT_NAME", "")
        return chosen or project_name(project.root)
    match = re.fullmatch(r"\{(\w+)\}", source.experiment)
    if not match:
        return source.experiment
    if match[1] in parameters:
        return str(parameters[match[1]])
    return str(notebook.literal(source.parameter(match[1]).default))


def project_name(root: Path) -> str:
    """The name in pyproject.toml, else the folder's."""
    return _toml_value(root, "name") or root.name


def requires_python(root: Path) -> str:
    """The versions of Python that pyproject.toml allows; empty where it says nothing."""
    return _toml_value(root, "requires-python")


def _toml_value(root: Path, name: str) -> str:
    # tomllib came with Python 3.11, and two plain strings don't need more.
    try:
        text = (root / "pyproject.toml").read_text("utf-8")
    except OSError:
        return ""
    section = re.search(r"^\[project\]\s*$(.*?)(?=^\[|\Z)", text, re.MULTILINE | re.DOTALL)
    match = section and re.search(
        rf"^{re.escape(name)}\s*=\s*([\"'])(.*?)\1", section[1], re.MULTILINE
    )
    return match[2] if match else ""
