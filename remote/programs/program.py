"""What a job may run: a notebook, a script or module, an MLproject, found by what was typed; or no
file of the project: a command, a page that is served."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from remote.errors import JobError, NotebookError
from remote.job import kinds
from remote.job.spec import JobSpec
from remote.programs import mlproject, notebook, script
from remote.programs.mlproject import Project as MLProject
from remote.programs.notebook import Notebook
from remote.programs.parameter import Asked
from remote.programs.script import Script


@dataclass(frozen=True)
class Command:
    """A command line, as a list of words."""

    words: tuple[str, ...]

    def job_spec(self, root: Path, asked: Asked) -> JobSpec:
        """A job without a source, whose arguments are the whole command line."""
        name = Path(self.words[0]).name
        return JobSpec(kind=kinds.COMMAND.name, source="", name=name, arguments=self.words)


@dataclass(frozen=True)
class Service:
    """What can be served. `package` is what its environment must hold: where the lock file doesn't
    name it, the `extra` is installed too."""

    name: str
    title: str
    package: str = ""
    extra: str = ""


LAB = Service("lab", "JupyterLab", "jupyterlab", "lab")
TENSORBOARD = Service("tensorboard", "TensorBoard", "tensorboard", "tensorboard")
UI = Service(kinds.UI, "MLflow's UI", "mlflow")
SHELL = Service(kinds.SHELL, "The shell")


@dataclass(frozen=True)
class ShellLine:
    """A command line as it is typed in a shell."""

    line: str

    def job_spec(self, root: Path, asked: Asked) -> JobSpec:
        """A job without a source, called like the script in the line, or its first word."""
        scripts = re.search(r"([\w-]+)\.(?:py|sh|ipynb)\b", self.line)
        words = [scripts[1]] if scripts else re.findall(r"[\w-]+", self.line)
        name = words[0] if words else "shell"
        return JobSpec(kind=kinds.LINE.name, source="", name=name, arguments=(self.line,))


@dataclass(frozen=True)
class ServicePage:
    """A service, where it looks (`folder` or `logdir` of the target, by name), what it runs."""

    service: Service
    place: Mapping[str, str]
    arguments: tuple[str, ...] = ()

    def job_spec(self, root: Path, asked: Asked) -> JobSpec:
        """A job in the target's own tree, without an MLflow run."""
        spec = JobSpec(
            kind=kinds.SERVICE.name,
            source=self.service.title,
            name=self.service.name,
            arguments=self.arguments,
            service=self.service.name,
            live=True,
            record=False,
        )
        return spec.replace(**self.place)


FileProgram = Notebook | Script | MLProject

#: Its `job_spec(root, asked)` is what is asked of a job that runs it, as far as the program itself
#: tells: an empty `experiment` leaves that to the project at `root`. It raises RemoteError where
#: the program can't be given this, or can't run on a target. Its kind is a row of remote.job.kinds.
Program = FileProgram | Command | ShellLine | ServicePage


def find(root: Path, name: str, entry_point: str = "") -> FileProgram:
    """The program called `name`, read; raises RemoteError that says what there is.

    `entry_point` is one of an MLproject's.
    """
    for folder in (Path(name), root / name):
        if mlproject.project_file(folder):
            return mlproject.read(folder, root, entry_point)
    if entry_point:
        raise JobError(
            f"{name} is no MLproject, so it has no entry points.", "Leave out --entry-point."
        )
    named_script = script.find(root, name) if name.endswith(script.SUFFIXES) else None
    if named_script:
        return named_script
    if name.endswith(script.SUFFIXES):
        raise JobError(
            f"There is no script {name!r}.",
            "A path is relative to the current folder, or to the project's root.",
        )
    try:
        return notebook.read(notebook.find(root, name), root)
    except NotebookError:
        module = None if name.endswith(".ipynb") else script.find(root, name)
        if module is None:
            _refuse_command(name)
            raise
        return module


def _refuse_command(name: str) -> None:
    """Raises JobError where the name looks like a command line."""
    words = name.split()
    if len(words) > 1 and shutil.which(words[0]):
        raise JobError(
            f"{name!r} is no program of the project.", f"A command: inv remote-run -- {name}"
        )
