"""MLproject files: the entry points, and their parameters as flags."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from remote.errors import JobError, RemoteError
from remote.job import kinds
from remote.job.spec import JobSpec
from remote.programs.parameter import MALFORMED, Asked, Parameter, below, literal, named

#: MLflow takes the file's name in any case.
NAME = "mlproject"
MAIN = "main"

#: What else than a named entry point `mlflow run -e` takes: a file of the project.
_RUNNABLE = (".py", ".sh", ".R")


@dataclass(frozen=True)
class TextParameter(Parameter):
    """A parameter whose value is checked, and stays the text that was typed. Without a default it
    has to be given.

    The only number that MLproject knows is `float`: a 3 that became 3.0 on the way would break
    programs that count with it.
    """

    def convert(self, text: str) -> Any:
        """The text itself; raises NotebookError where it is no number and has to be."""
        super().convert(text)
        return text


@dataclass(frozen=True)
class Project:
    """An MLproject file, read. `path` is its folder, relative to the project's root.

    It speaks for one of its entry points, `entry_point`; `entry_points` are their parameters.
    """

    path: Path
    entry_points: Mapping[str, tuple[TextParameter, ...]]
    entry_point: str = MAIN

    def at(self, entry_point: str) -> Project:
        """The same project, speaking for another entry point; raises JobError."""
        name = entry_point or MAIN
        if name not in self.entry_points and not name.endswith(_RUNNABLE):
            names = ", ".join(self.entry_points) or "none"
            raise JobError(
                f"{self.path}/MLproject has no entry point {name!r}.",
                f"It has {names}. Choose one with --entry-point NAME.",
            )
        return replace(self, entry_point=name)

    @property
    def parameters(self) -> tuple[TextParameter, ...]:
        """The parameters of the entry point."""
        return self.entry_points.get(self.entry_point, ())

    @property
    def required(self) -> tuple[str, ...]:
        """The names of the parameters that have no default."""
        return tuple(parameter.name for parameter in self.parameters if not parameter.default)

    @property
    def defaults(self) -> dict[str, str]:
        """The defaults as MLflow would hand them over."""
        optional = [parameter for parameter in self.parameters if parameter.default]
        return {parameter.name: str(ast.literal_eval(parameter.default)) for parameter in optional}

    def parameter(self, name: str) -> Parameter:
        """The parameter called `name` (`-` and `_` are the same); raises JobError."""
        where = f"Entry point {self.entry_point!r} of {self.path}/MLproject"
        return named(name, self.parameters, where, JobError, "It takes none.")

    def job_spec(self, root: Path, asked: Asked) -> JobSpec:
        """A job that runs the entry point with MLflow's own runner."""
        self.check(asked.parameters)
        if asked.arguments:
            raise JobError(
                f"{self.path} is an MLproject: it takes parameters, and nothing after --.",
                "Type them as flags, each with two dashes.",
            )
        return JobSpec(
            kind=kinds.MLPROJECT.name,
            source=self.path.as_posix(),
            name=self.path.name or "project",
            parameters=dict(asked.parameters),
            defaults=self.defaults,
            entry_point=self.entry_point,
        )

    def check(self, given: Mapping[str, Any]) -> None:
        """Raise JobError where a parameter that has no default was not given."""
        missing = [name for name in self.required if name not in given]
        if missing:
            flags = " ".join(f"--{name.replace('_', '-')} VALUE" for name in missing)
            raise JobError(
                f"{self.path}/MLproject needs a value for {', '.join(missing)}.", f"Add {flags}"
            )


def project_file(folder: Path) -> Path | None:
    """The MLproject file of a folder; None where there is none, or no folder."""
    try:
        return next((path for path in folder.iterdir() if path.name.lower() == NAME), None)
    except (OSError, ValueError):
        return None


def read(folder: Path, root: Path, entry_point: str = "") -> Project:
    """Read the MLproject file of a folder of the project; raises JobError."""
    path = below(root, folder)
    file = project_file(folder)
    assert file is not None
    return Project(path, _entry_points(file)).at(entry_point)


def _entry_points(file: Path) -> dict[str, tuple[TextParameter, ...]]:
    import yaml

    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        if "docker_env" in document:
            raise JobError(
                f"{file} asks for Docker (docker_env).",
                "Jobs run in the environment of the project's lock file: remove docker_env.",
            )
        entries = dict(document.get("entry_points", {}))
        return {str(name): _parameters(entry) for name, entry in entries.items()}
    except RemoteError:
        raise
    except (yaml.YAMLError, *MALFORMED) as error:
        words = " ".join(str(error).split())
        if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
            words = f"{error.problem}, line {error.problem_mark.line + 1}"
        raise JobError(
            f"{file} can't be read as an MLproject file: {words}.",
            "Each of its entry_points has a command, and may have parameters.",
        ) from error


def _parameters(entry: Mapping[str, Any]) -> tuple[TextParameter, ...]:
    """Those of an entry point; each is told as `float` or as `{type: float, default: 1}`."""
    command, parameters = entry["command"], entry.get("parameters", {})
    if not isinstance(command, str):
        raise TypeError(f"a command must be text, not {command!r}")
    if not isinstance(parameters, dict):
        raise TypeError(f"parameters must be a mapping, not {parameters!r}")
    result = []
    for name, value in parameters.items():
        document = {"type": value} if isinstance(value, str) else value
        kind = "float" if str(document.get("type", "string")) == "float" else "str"
        default = document.get("default")
        if default is None:
            result.append(TextParameter(str(name), kind, "", "(required)"))
            continue
        # What YAML reads as a date, or as infinity, MLflow hands over as text.
        plain = default if literal(repr(default)) == default else str(default)
        result.append(TextParameter(str(name), kind, repr(plain)))
    return tuple(result)
