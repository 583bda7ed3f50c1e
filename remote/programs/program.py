"""What every program offers, and the programs that are no file: a command, a page that is served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from remote.errors import JobError
from remote.job import kinds
from remote.job.spec import JobSpec


@dataclass(frozen=True)
class Asked:
    """What is typed for a program. `output` is what an executed notebook is to be called."""

    parameters: Mapping[str, Any] = field(default_factory=dict)
    arguments: Sequence[str] = ()
    output: str = ""


class Program(Protocol):
    """Something that a job can run. Its kind is a row of remote.job.kinds."""

    def job_spec(self, root: Path, asked: Asked) -> JobSpec:
        """What is asked of a job that runs it, as far as the program itself tells.

        `root` is the project's. An empty `experiment` leaves that to the project. Raises
        RemoteError where the program can't be given this, or can't run on a target.
        """


@dataclass(frozen=True)
class Command:
    """A command line, as a list of words."""

    words: tuple[str, ...]

    def job_spec(self, root: Path, asked: Asked) -> JobSpec:
        """A job without a source, whose arguments are the whole command line."""
        return JobSpec(
            kind=kinds.COMMAND.name,
            source="",
            name=Path(self.words[0]).name,
            arguments=self.words,
        )


@dataclass(frozen=True)
class Service:
    """What can be served. `package` is what its environment must hold: where the lock file doesn't
    name it, the `extra` is installed too."""

    name: str
    title: str
    package: str
    extra: str = ""


LAB = Service("lab", "JupyterLab", "jupyterlab", "lab")
TENSORBOARD = Service("tensorboard", "TensorBoard", "tensorboard", "torch")
UI = Service("ui", "MLflow's UI", "mlflow")


@dataclass(frozen=True)
class ServicePage:
    """A service, and where it looks: `folder` or `logdir` of the target, by name."""

    service: Service
    place: Mapping[str, str]

    def job_spec(self, root: Path, asked: Asked) -> JobSpec:
        """A job in the target's own tree, without an MLflow run."""
        spec = JobSpec(
            kind=kinds.SERVICE.name,
            source=self.service.title,
            name=self.service.name,
            service=self.service.name,
            live=True,
            record=False,
        )
        return spec.replace(**self.place)


def is_file(path: Path) -> bool:
    """Whether it is a file; a name that no file can have is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def below(root: Path, path: Path) -> Path:
    """`path` as it is called in the project at `root`; raises JobError where it lies elsewhere."""
    resolved, top = path.resolve(), root.resolve()
    if not resolved.is_relative_to(top):
        raise JobError(
            f"{path} lies outside of the project {top}.",
            "Only what is pushed can run there: put it below the project's root.",
        )
    return resolved.relative_to(top)
