"""MLproject files: the entry points, and their parameters as flags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from remote.errors import JobError, RemoteError
from remote.job import kinds
from remote.job.spec import JobSpec
from remote.programs.parameter import MALFORMED, Parameter, nearest
from remote.programs.program import Asked, below

#: MLflow takes the file's name in any case.
NAME = "mlproject"
MAIN = "main"

#: What else than a named entry point `mlflow run -e` takes: a file of the project.
_RUNNABLE = (".py", ".sh", ".R")


@dataclass(frozen=True)
class TextParameter(Parameter):
    """A parameter whose value is checked, and stays the text that was typed.

    The only number that MLproject knows is `float`: a 3 that became 3.0 on the way would break
    programs that count with it.
    """

    def convert(self, text: str) -> Any:
        """The text itself; raises NotebookError where it is no number and has to be."""
        super().convert(text)
        return text


@dataclass(frozen=True)
class EntryPoint:
    """What `mlflow run -e` runs. Parameters without a default are `required`."""

    command: str
    parameters: tuple[Parameter, ...] = ()
    required: tuple[str, ...] = ()


@dataclass(frozen=True)
class Project:
    """An MLproject file, read. `path` is its folder, relative to the project's root.

    It speaks for one of its entry points, `entry_point`.
    """

    path: Path
    entry_points: Mapping[str, EntryPoint]
    entry_point: str = MAIN

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters of the entry point."""
        return self._entry().parameters

    @property
    def required(self) -> tuple[str, ...]:
        """The names of the parameters that have no default."""
        return self._entry().required

    @property
    def defaults(self) -> dict[str, str]:
        """The defaults as MLflow would hand them over."""
        optional = [
            parameter for parameter in self.parameters if parameter.name not in self.required
        ]
        return {parameter.name: _plain(parameter) for parameter in optional}

    def at(self, entry_point: str) -> Project:
        """The same project, speaking for another entry point; raises JobError."""
        project = replace(self, entry_point=entry_point or MAIN)
        project._entry()
        return project

    def parameter(self, name: str) -> Parameter:
        """The parameter called `name` (`-` and `_` are the same); raises JobError."""
        for parameter in self.parameters:
            if _dashed(parameter.name) == _dashed(name):
                return parameter
        where = f"Entry point {self.entry_point!r} of {self.path}/MLproject"
        raise JobError(f"{where} has no parameter {name!r}.", self._nearest(name))

    def check(self, given: Mapping[str, Any]) -> None:
        """Raise JobError where a parameter that has no default was not given."""
        missing = [name for name in self.required if name not in given]
        if missing:
            flags = " ".join(f"--{_dashed(name)} VALUE" for name in missing)
            raise JobError(
                f"{self.path}/MLproject needs a value for {', '.join(missing)}.", f"Add {flags}"
            )

    def job_spec(self, root: Path, asked: Asked) -> JobSpec:
        """A job that runs the entry point with MLflow's own runner."""
        self.check(asked.parameters)
        if asked.arguments:
            raise JobError(
                f"{self.path} is an MLproject: it takes parameters, and nothing after --.",
                "Type them before: inv remote-run FOLDER --epochs 10",
            )
        return JobSpec(
            kind=kinds.MLPROJECT.name,
            source=self.path.as_posix(),
            name=self.path.name or "project",
            parameters=dict(asked.parameters),
            defaults=self.defaults,
            entry_point=self.entry_point,
        )

    def _entry(self) -> EntryPoint:
        if self.entry_point in self.entry_points:
            return self.entry_points[self.entry_point]
        if self.entry_point.endswith(_RUNNABLE):
            return EntryPoint(command=self.entry_point)
        names = ", ".join(self.entry_points) or "none"
        raise JobError(
            f"{self.path}/MLproject has no entry point {self.entry_point!r}.",
            f"It has {names}. Choose one with --entry-point NAME.",
        )

    def _nearest(self, name: str) -> str:
        return nearest(name, self.parameters) if self.parameters else "It takes none."


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _plain(parameter: Parameter) -> str:
    import ast

    return str(ast.literal_eval(parameter.default))


def is_project(path: Path) -> bool:
    """Whether `path` is a folder with an MLproject file."""
    return _file_in(path) is not None


def _file_in(folder: Path) -> Path | None:
    try:
        return next((each for each in folder.iterdir() if each.name.lower() == NAME), None)
    except (OSError, ValueError):
        return None


def read(folder: Path, root: Path, entry_point: str = "") -> Project:
    """Read the MLproject file of a folder of the project; raises JobError."""
    path = below(root, folder)
    file = _file_in(folder)
    if file is None:
        raise JobError(f"{folder} holds no MLproject file.")
    project = Project(path=path, entry_points=_entry_points(file))
    return project.at(entry_point)


def _entry_points(file: Path) -> dict[str, EntryPoint]:
    import yaml

    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        if "docker_env" in document:
            raise JobError(
                f"{file} asks for Docker (docker_env).",
                "Jobs run in the environment of the project's lock file: take docker_env away.",
            )
        named = dict(document.get("entry_points", {}))
        return {str(name): _entry_point(each) for name, each in named.items()}
    except RemoteError:
        raise
    except (yaml.YAMLError, *MALFORMED) as error:
        words = " ".join(str(error).split())
        raise JobError(f"{file} can't be read as an MLproject file: {words}.") from error


def _entry_point(document: Mapping[str, Any]) -> EntryPoint:
    command = document["command"]
    if not isinstance(command, str):
        raise TypeError(f"a command must be text, not {command!r}")
    parameters = [_parameter(str(name), each) for name, each in _described(document).items()]
    return EntryPoint(
        command=command,
        parameters=tuple(each for each, _ in parameters),
        required=tuple(each.name for each, required in parameters if required),
    )


def _described(document: Mapping[str, Any]) -> Mapping[Any, Any]:
    parameters = document.get("parameters", {})
    if not isinstance(parameters, dict):
        raise TypeError(f"parameters must be a mapping, not {parameters!r}")
    return parameters


def _parameter(name: str, document: Any) -> tuple[Parameter, bool]:
    """(the parameter, whether it has to be given) from `float` or `{type: float, default: 1}`."""
    if isinstance(document, str):
        document = {"type": document}
    default = document.get("default")
    type_name = str(document.get("type", "string"))
    return (
        TextParameter(
            name=name,
            kind="float" if type_name == "float" else "str",
            default="" if default is None else repr(default),
            comment="(required)" if default is None else "",
        ),
        default is None,
    )
