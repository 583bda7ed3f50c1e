"""`inv run`, `inv format`, `inv ui`, `inv diary`: the project on this machine."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from remote.config import Project, find_project, make_variables
from remote.errors import ConfigError, NotebookError
from remote.job.state import FINISHED
from remote.output import print_lines, say, say_log
from remote.tasks.argparse_task import ProgramTask
from remote.tasks.exits import exit_on_error

#: Variables of make's command line that are no parameters of a notebook.
MAKES_OWN = ("input_file", "output_file", "TARGET_DIR", "INV", "PYTHON", "VENV", "ARGS", "UV")


@task(
    klass=ProgramTask,
    positional=["program"],
    help={
        "program": "a notebook, script, module or MLproject, as for remote-run",
        "output": "a name for the executed notebook (a timestamp is put before it)",
        "entry-point": "which entry point of an MLproject (default: main)",
    },
)
@exit_on_error
def run(
    c: Context,
    program: str = "",
    output: str = "",
    entry_point: str = "",
    parameters: Mapping[str, Any] | None = None,
    arguments: Sequence[str] = (),
) -> None:
    """Run a notebook, script or MLproject on this machine; its parameters are flags.

    make run input_file=train.ipynb output_file=result.ipynb epoch=100 does the same.
    """
    from remote.operations.job_request import describe
    from remote.operations.run_here import run as run_here
    from remote.programs.program import find

    project = find_project()
    variables = make_variables() if not program else {}
    name = program or variables.get("input_file", "")
    if not name:
        raise NotebookError("No notebook is named.", "make run input_file=train.ipynb epoch=10")
    source = find(project.root, name, entry_point)
    given = parameters or _made_parameters(source, variables)
    output = output or variables.get("output_file", "")
    job = describe(project, source, given, output=output, arguments=arguments)
    ended = run_here(project, job)
    if ended.state != FINISHED:
        raise Exit(code=ended.code or 1)


def _made_parameters(source: Any, variables: Mapping[str, str]) -> dict[str, Any]:
    found = {}
    for name, text in variables.items():
        if name not in MAKES_OWN:
            parameter = source.parameter(name)
            found[parameter.name] = parameter.convert(text)
    return found


@task(name="format")
@exit_on_error
def format_code(c: Context) -> None:
    """Run isort and black over the project's Python."""
    root = find_project().root
    from remote.transport import process

    for tool in (["isort"], ["black"]):
        folders = [
            name
            for name in ("tasks.py", "remote", "src", "pipelines", "scripts", "tests", "bench")
            if (root / name).exists()
        ]
        result = process.run([sys.executable, "-m", *tool, *folders], cwd=root)
        say_log(result.stderr + result.stdout.decode("utf-8", "replace"))
        if result.code:
            raise Exit(code=result.code)


@task(help={"port": "the port of 127.0.0.1 to listen on"})
@exit_on_error
def ui(c: Context, port: int = 5000) -> None:
    """Start mlflow ui on this project's records."""
    from remote.transport import process

    root = find_project().root
    if not (root / "mlflow.db").exists():
        say("There are no records yet: make sync-pull brings them.")
    # One process answers one person, and is there sooner than four.
    env = {"MLFLOW_WORKERS": "1", **os.environ}
    mlflow = Path(sys.executable).with_name("mlflow")
    process.become([str(mlflow), "ui", "--port", str(port)], env=env, cwd=root)


@task(help={"edit": "open it with $VISUAL or $EDITOR"})
@exit_on_error
def diary(c: Context, edit: bool = False) -> None:
    """Make today's page of the diary from diary/template.md, with the newest runs; tell its path.

    A page that is there is left as it is.
    """
    from remote.operations.diary import entry
    from remote.transport import process

    project = find_project()
    editor = _editor(project) if edit else []
    path = entry(project.root, date.today())
    print_lines(os.path.relpath(path))
    if editor:
        process.become([*editor, str(path)], hint="EDITOR names it.")


def _editor(project: Project) -> list[str]:
    """The words that start the user's editor; raises ConfigError."""
    named = project.settings.get("VISUAL") or project.settings.get("EDITOR") or ""
    try:
        words = shlex.split(named)
    except ValueError:
        words = []
    if not words:
        raise ConfigError(
            f"EDITOR can't be read: {named}." if named else "EDITOR is not set.",
            "Name one, as in EDITOR=nano, or open the page yourself: inv diary prints its path.",
        )
    return words


TASKS = (run, format_code, ui, diary)
