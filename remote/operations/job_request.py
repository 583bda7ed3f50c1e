"""What is asked of a job; all of it is checked before anything is sent."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from remote import git
from remote.config import Project
from remote.job.spec import JobSpec
from remote.operations.run_options import RunOptions
from remote.programs.program import Asked, Program


def describe(
    project: Project,
    program: Program,
    parameters: Mapping[str, Any],
    *,
    output: str = "",
    arguments: Sequence[str] = (),
    options: RunOptions = RunOptions(),
) -> JobSpec:
    """What is asked of a job that runs this program with these parameters; raises RemoteError.

    `output` names an executed notebook; without it, it is called like the notebook.
    """
    spec = program.job_spec(project.root, Asked(parameters, arguments, output))
    name = project_name(project.root)
    return replace(
        spec,
        **{**vars(options), "name": options.name or spec.name},
        experiment=spec.experiment or project.settings.get("MLFLOW_EXPERIMENT_NAME", "") or name,
        python=requires_python(project.root),
        git=git.state(project.root),
        user=getpass.getuser(),
        project=name,
        leases=project.settings.get("REMOTE_LEASES", ""),
    )


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
