"""Submit: what is asked of a job, checked here, handed to the agent."""

from __future__ import annotations

import getpass
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Mapping

from remote import git, notebook
from remote.config import Project
from remote.errors import JobError, NotebookError
from remote.notebook import Notebook
from remote.operations import uv
from remote.server import Server

#: Bytes in the name of an executed notebook, before its timestamp, state, number and suffix.
LONGEST = 200


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
    name = Path(output or source.path.name).name.removesuffix(".ipynb")
    if len(name.encode("utf-8", "surrogateescape")) > LONGEST:
        raise NotebookError(
            f"The name of the executed notebook is too long: {name[:40]}...",
            f"It may have {LONGEST} bytes.",
        )
    return {
        "name": source.path.stem,
        "output": name,
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
    if source.experiment is not None:
        return source.experiment
    if source.experiment_parameter is not None:
        default = notebook.literal(source.parameter(source.experiment_parameter).default)
        return str(parameters.get(source.experiment_parameter, default))
    return project.settings.get("MLFLOW_EXPERIMENT_NAME", "") or project_name(project.root)


def project_name(root: Path) -> str:
    """The name in pyproject.toml, else the folder's."""
    return _declared(root, "name") or root.name


def requires_python(root: Path) -> str:
    """The versions of Python that pyproject.toml allows; empty where it says nothing."""
    return _declared(root, "requires-python")


def _declared(root: Path, name: str) -> str:
    """A text of pyproject.toml's table `project`; empty where there is none."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib  # type: ignore[import-not-found,unused-ignore]
    try:
        document = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    except (OSError, ValueError):
        return ""
    table = document.get("project")
    value = table.get(name) if isinstance(table, dict) else None
    return value if isinstance(value, str) else ""
