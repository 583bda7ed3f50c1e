"""`inv version`, `inv run`, `inv format`, `inv ui`, `inv diary`: the project on this machine."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import shlex
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from invoke._version import __version__ as invoke_version
from invoke.context import Context
from invoke.exceptions import Exit

from remote import __version__
from remote.config import find_project, is_environment
from remote.errors import ConfigError, NotebookError
from remote.job.outputs import TABLE
from remote.job.status import FINISHED
from remote.output import print_lines, say, say_log
from remote.settings import make_variables
from remote.tasks.declare import command

FIRST_STEPS = (
    "",
    "first:      inv doctor                                 checks this machine and the server",
    "then:       inv sync-push --target user@host:proj      copies the project to the server",
    "            inv remote-run train.ipynb --follow        runs a notebook on it",
    "            inv sync-pull                              copies results and MLflow records back",
    "            inv ui                                     shows the runs",
    "more:       inv --list; of one command: inv remote-run --help",
)

#: Variables of make's command line that are no parameters of a notebook.
MAKES_OWN = ("input_file", "output_file", "TARGET_DIR", "INV", "PYTHON", "VENV", "ARGS", "UV")


@command(name="version", default=True)
def tell_version(c: Context) -> None:
    """Print the toolkit's version and the first steps, as inv alone does.

    Example: inv version
    """
    print_lines(f"remote-gpu-workflow {__version__}, Invoke {invoke_version}", *FIRST_STEPS)


@command(
    positional=["program"],
    help={
        "program": "a notebook, script, module or MLproject, as for remote-run",
        "output": "a name for the executed notebook (a timestamp is put before it)",
        "cwd": "the folder to run in, as for remote-run",
        "no_record": "no MLflow run for it, as for remote-run",
    },
)
def run(
    c: Context,
    program: str = "",
    output: str = "",
    entry_point: str = "",
    cwd: str = "",
    no_record: bool = False,
    parameters: Mapping[str, Any] | None = None,
    arguments: Sequence[str] = (),
) -> None:
    """Run a notebook, script or MLproject on this machine; its parameters are flags.

    Example: inv run train.ipynb --epoch 100
    The same by make: make run input_file=train.ipynb output_file=result.ipynb epoch=100
    """
    from remote.operations.jobs.run_options import RunOptions
    from remote.operations.jobs.submit import describe, run_here
    from remote.programs.program import find

    project = find_project()
    variables = make_variables() if not program else {}
    name = program or variables.get("input_file", "")
    if not name:
        raise NotebookError(
            "No notebook is named.",
            "inv run train.ipynb --epoch 10, or make run input_file=train.ipynb epoch=10",
        )
    source = find(project.root, name, entry_point)
    given = dict(parameters or {})
    for key, text in variables.items() if not parameters else ():
        if key not in MAKES_OWN:
            parameter = source.parameter(key)
            given[parameter.name] = parameter.convert(text)
    output = output or variables.get("output_file", "")
    options = RunOptions(cwd=cwd, record=not no_record)
    job = describe(project, source, given, output=output, arguments=arguments, options=options)
    state, code = run_here(project, job)
    if state != FINISHED:
        raise Exit(code=code or 1)


#: Folders of a project's root that hold no source of its own: data, and what jobs write.
NO_SOURCE = {"data", *(output.path.split("/")[0] for output in TABLE)}


def _places(root: Path, suffix: str) -> list[str]:
    """The files and folders in the root with the project's own code of that kind."""
    return [f"./{path.name}" for path in sorted(root.iterdir()) if _is_source(path, suffix)]


def _is_source(path: Path, suffix: str) -> bool:
    if path.name.startswith(".") or path.name in NO_SOURCE or path.is_symlink():
        return False
    if path.is_file():
        return path.suffix == suffix
    return not is_environment(path) and next(path.rglob(f"*{suffix}"), None) is not None


def _formatters(root: Path) -> Iterator[list[str]]:
    """What is run, over which of the project's places."""
    if places := _places(root, ".py"):
        ignored = ["--skip-gitignore"] if (root / ".git").exists() else []
        yield ["isort", *ignored, *places]
        yield ["black", *places]
    if _places(root, ".ipynb"):
        if find_spec("ruff"):
            # What is named is formatted, though git may ignore it.
            others = [path for path in root.iterdir() if not _is_source(path, ".ipynb")]
            left = json.dumps([glob.escape(str(path)) for path in others])
            settings = ("include = ['*.ipynb']", f"extend-exclude = {left}")
            yield ["ruff", "format", *(f"--config={each}" for each in settings), "."]
        else:
            say("Notebooks are not formatted: ruff is not installed here.")


@command(name="format")
def format_code(c: Context) -> None:
    """Run isort and black over the project's Python, and ruff, in black's style, over notebooks.

    Example: inv format
    """
    from remote.transport import process

    root, done = find_project().root, False
    for words in _formatters(root):
        result = process.run([sys.executable, "-m", *words], cwd=root)
        say_log(result.stderr + result.stdout.decode("utf-8", "replace"))
        if result.code:
            raise Exit(code=result.code)
        done = True
    if not done:
        raise ConfigError(f"{root} has no Python code to format.", "Go to the project's folder.")


#: MLflow begins with traces; runs are on the page of model training.
_PAGE = "workflowType=machine_learning"


@command(help={"port": "the port of 127.0.0.1 to listen on"})
def ui(c: Context, port: int = 5000) -> None:
    """Start mlflow ui on this project's records, and print the address of their page.

    Example: inv ui --port 5000
    """
    from remote.transport import process

    root = find_project().root
    _refuse_port(port)
    if not (root / "mlflow.db").exists():
        say("There are no records yet. Pull them: make sync-pull")
    # One process answers one person, and is there sooner than ten: nothing is run from the page.
    env = {"MLFLOW_WORKERS": "1", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **os.environ}
    say(
        f"The runs, in a few seconds: http://127.0.0.1:{port}/#/experiments?{_PAGE}  Ctrl-C ends it."
    )
    mlflow = Path(sys.executable).with_name("mlflow")
    process.become([str(mlflow), "ui", "--port", str(port)], env=env, cwd=root)


def _refuse_port(port: int) -> None:
    """Raises ConfigError for one that nothing can listen on now."""
    with socket.socket() as probe:
        # As servers do: one that was used a minute ago is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OverflowError:
            raise ConfigError(f"--port {port}: ports end at 65535.") from None
        except OSError as error:
            hint = f"Another one: inv ui --port {port + 1 if port < 65535 else 5000}"
            raise ConfigError(f"--port {port}: {error.strerror}.", hint) from None


@command(
    positional=["package"],
    help={
        "package": "what to add, such as pandas or 'pandas>=2'",
        "extra": "add it to this extra of the project",
    },
)
def add(c: Context, package: str, extra: str = "") -> None:
    """Add a package to pyproject.toml and the lock file; no other version moves.

    Jobs have it from the next remote-run on.
    Example: inv add 'pandas>=2'
    """
    from remote.operations.add_package import add as add_package

    for change in add_package(find_project().root, package, extra):
        print_lines(str(change))
    say(f"{package} is in pyproject.toml, and in the next job's environment.")
    say("On this machine: make install (or uv sync)")


@command(help={"edit": "open it with $VISUAL or $EDITOR"})
def diary(c: Context, edit: bool = False) -> None:
    """Create today's page of the diary from diary/template.md, with the newest runs; print its path.

    A page that exists is not changed.
    Example: inv diary --edit
    """
    from remote.operations.diary import entry
    from remote.transport import process

    project, editor = find_project(), list[str]()
    if edit:
        named = project.settings.get("VISUAL") or project.settings.get("EDITOR") or ""
        with contextlib.suppress(ValueError):
            editor = shlex.split(named)
        if not editor:
            raise ConfigError(
                f"EDITOR can't be read: {named}." if named else "EDITOR is not set.",
                "Name one, as in EDITOR=nano, or open the page yourself:"
                " inv diary prints its path.",
            )
    path = entry(project.root, date.today())
    print_lines(os.path.relpath(path))
    if editor:
        process.become([*editor, str(path)], hint="EDITOR names it.")
