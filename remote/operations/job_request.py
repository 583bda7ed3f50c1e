"""What is asked of a job, as job.json says it; all of it is checked before anything is sent."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remote import git
from remote.config import Project
from remote.errors import JobError, NotebookError
from remote.operations.run_options import RunOptions
from remote.programs import notebook
from remote.programs.mlproject import Project as MLProject
from remote.programs.notebook import Notebook
from remote.programs.notebook.experiment_name import Experiment
from remote.programs.script import Script

#: Bytes in the name of an executed notebook, before its timestamp, state, number and suffix.
LONGEST = 200


@dataclass(frozen=True)
class Command:
    """A command line, as a list of words."""

    words: tuple[str, ...]


Program = Notebook | Script | MLProject | Command


def describe(
    project: Project,
    program: Program,
    parameters: Mapping[str, Any],
    *,
    output: str = "",
    arguments: Sequence[str] = (),
    options: RunOptions = RunOptions(),
) -> dict[str, Any]:
    """What job.json says of this program with these parameters; raises RemoteError.

    `output` names an executed notebook; without it, it is called like the notebook.
    """
    if isinstance(program, Notebook):
        what = _notebook(project, program, parameters, arguments, output)
    elif isinstance(program, MLProject):
        program.check(parameters)
        what = _mlproject(program, arguments)
    elif isinstance(program, Script):
        what = _script(project, program, arguments)
    else:
        what = _command(program)
    experiment = project.settings.get("MLFLOW_EXPERIMENT_NAME", "") or project_name(project.root)
    return {
        "experiment": experiment,
        "continues_run": True,
        "parameters": dict(parameters),
        "arguments": list(arguments),
        **what,
        **asked(options, what["name"]),
        "python": requires_python(project.root),
        "git": git.state(project.root),
        "user": getpass.getuser(),
        "project": project_name(project.root),
        "leases": project.settings.get("REMOTE_LEASES", ""),
    }


def asked(options: RunOptions, name: str) -> dict[str, Any]:
    """The options as job.json holds them; `name` is the program's own."""
    return {
        "gpus": options.gpus,
        "gpu_memory": options.gpu_memory,
        "after": options.after,
        "retries": options.retries,
        "timeout": options.timeout,
        "name": options.name or name,
        "env": dict(options.env),
        "tags": dict(options.tags),
        "extras": list(options.extras),
        "notify": options.notify,
    }


def _notebook(
    project: Project,
    source: Notebook,
    parameters: Mapping[str, Any],
    arguments: Sequence[str],
    output: str,
) -> dict[str, Any]:
    if arguments:
        raise NotebookError(
            f"{source.path} is a notebook: it takes parameters, and nothing after --.",
            "Type them before: inv remote-run NOTEBOOK --epoch 10",
        )
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
    found = {
        "kind": "notebook",
        "source": source.path.as_posix(),
        "name": source.path.stem,
        "output": name,
        "defaults": {each.name: notebook.literal(each.default) for each in source.parameters},
        "language": source.language,
        "continues_run": source.continues_run,
    }
    experiment = notebook_experiment(source, parameters)
    return found if experiment is None else {**found, "experiment": experiment}


def notebook_experiment(source: Notebook, parameters: Mapping[str, Any]) -> str | None:
    """The MLflow experiment that a notebook's own code chooses, if it does."""
    if source.experiment is not None or source.experiment_parameter is None:
        return source.experiment
    default = notebook.literal(source.parameter(source.experiment_parameter).default)
    return str(parameters.get(source.experiment_parameter, default))


def _script(project: Project, source: Script, arguments: Sequence[str]) -> dict[str, Any]:
    found = {
        "kind": "module" if source.module else "script",
        "source": source.module or source.path.as_posix(),
        "name": source.path.parent.name if source.path.stem == "__main__" else source.path.stem,
        "hydra": source.hydra,
        "arguments": list(arguments),
    }
    chosen = Experiment(())
    chosen.read((project.root / source.path).read_text("utf-8", "replace"), sets=True)
    found["continues_run"] = chosen.certain
    return found if chosen.name is None else {**found, "experiment": chosen.name}


def _mlproject(source: MLProject, arguments: Sequence[str]) -> dict[str, Any]:
    if arguments:
        raise JobError(
            f"{source.path} is an MLproject: it takes parameters, and nothing after --.",
            "Type them before: inv remote-run FOLDER --epochs 10",
        )
    return {
        "kind": "mlproject",
        "source": source.path.as_posix(),
        "name": source.path.name or "project",
        "entry_point": source.entry_point,
        "defaults": dict(source.defaults),
    }


def _command(source: Command) -> dict[str, Any]:
    return {
        "kind": "command",
        "source": "",
        "name": Path(source.words[0]).name,
        "arguments": list(source.words),
    }


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
