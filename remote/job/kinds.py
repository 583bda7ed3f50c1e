"""Kinds of job: a table. What differs between kinds stands in a row of it, and nowhere else.

How a kind is found and described on the laptop is told by its class in remote.programs. How it is
run is told here: `entry` says which of the agent's programs starts it inside its environment, and
for those that `program` starts, `argv` is the command line that it becomes.
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import Callable, Dict, Iterable, List, NamedTuple, Tuple

from remote.errors import JobError
from remote.job.spec import JobSpec

#: The agent's programs that run inside a job's environment (remote.agent_main).
NOTEBOOK_ENTRY, PROGRAM_ENTRY, SERVICE_ENTRY = "notebook", "program", "serve"

#: (job, its Python, the id of its MLflow run or "") -> the words of its program.
Argv = Callable[[JobSpec, str, str], List[str]]


def _own_words(job: JobSpec, python: str, run: str) -> List[str]:
    return list(job.arguments)


class Kind(NamedTuple):
    """What the agent and the job need to know of one kind."""

    name: str
    entry: str = PROGRAM_ENTRY
    argv: Argv = _own_words
    source_is_path: bool = False
    """Whether `source` is a file or folder of the project, which must have been pushed."""
    source_files: Callable[[JobSpec], Iterable[Path]] = lambda job: ()
    """Where the Python source of the program may lie, below the code."""
    modules: Tuple[str, ...] = ()
    """What an environment must have for it, where that was made by others."""
    keeps_notebook: bool = False
    """Whether it leaves an executed notebook, which goes to the results."""
    mlflow_source_type: str = ""
    """What MLflow calls such a source in `mlflow.source.type`; empty leaves it to MLflow."""
    serves: bool = False
    """Whether it goes on until somebody ends it: `remote-stop` without a name passes it over as
    long as another job goes on, and a second one of the same service isn't started."""


def _script_argv(job: JobSpec, python: str, run: str) -> List[str]:
    path = _plain_path(job.source)
    if not job.source.endswith(".sh"):
        return [python, path, *job.arguments]
    return [*([path] if _runs_itself(path) else ["sh", path]), *job.arguments]


def _module_argv(job: JobSpec, python: str, run: str) -> List[str]:
    return [python, "-m", job.source, *job.arguments]


def _mlproject_argv(job: JobSpec, python: str, run: str) -> List[str]:
    """`mlflow run` with `--run-id` makes the job's own run the project's, and adds nothing to it.

    Without that, MLflow makes another run and logs the parameters there.
    """
    words = [python, "-m", "mlflow", "run", _plain_path(job.source or ".")]
    words += ["-e", job.entry_point or "main", "--env-manager", "local"]
    words += ["--run-id", run] if run else []
    for name, value in job.parameters.items():
        words += ["-P", f"{name}={value}"]
    return [*words, *job.arguments]


def _shell_argv(job: JobSpec, python: str, run: str) -> List[str]:
    """bash, which is what people type at, where the server has it."""
    # Other jobs begin sooner without.
    import shutil

    (line,) = job.arguments
    bash = shutil.which("bash")
    if bash is None:
        return ["sh", "-c", line]
    # sh ends where `.` fails, and bash goes on: in whatever environment it was in before.
    ends = f"trap {shlex.quote(_FAILED_SOURCE)} ERR; " if _SOURCES.search(line) else ""
    return [bash, "-c", ends + line]


_SOURCES = re.compile(r"(?:^|[\s;&|({])(?:source|\.)\s")
_FAILED_SOURCE = (
    'case $BASH_COMMAND in "source "*|". "*)'
    ' echo "[remote] $BASH_COMMAND: failed, so the job ends" >&2; exit 1;; esac'
)


def _plain_path(source: str) -> str:
    """A path that is neither taken for an option nor looked for on PATH."""
    return source if os.path.isabs(source) else os.path.join(".", source)


def _runs_itself(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return os.access(path, os.X_OK) and file.read(2) == b"#!"
    except OSError:
        return False


def _script_files(job: JobSpec) -> Iterable[Path]:
    return [Path(job.source)]


def _module_files(job: JobSpec) -> Iterable[Path]:
    path = Path(*job.source.split("."))
    for top in (Path("src"), Path()):
        yield top / path.with_suffix(".py")
        yield top / path / "__main__.py"


NOTEBOOK = Kind(
    "notebook",
    NOTEBOOK_ENTRY,
    source_is_path=True,
    # papermill, where it is there, brings the second.
    modules=("ipykernel", "nbclient"),
    keeps_notebook=True,
)
SCRIPT = Kind("script", argv=_script_argv, source_is_path=True, source_files=_script_files)
MODULE = Kind("module", argv=_module_argv, source_files=_module_files)
COMMAND = Kind("command")
LINE = Kind("shell-line", argv=_shell_argv)
MLPROJECT = Kind(
    "mlproject",
    argv=_mlproject_argv,
    source_is_path=True,
    modules=("mlflow",),
    mlflow_source_type="PROJECT",
)
SERVICE = Kind("service", SERVICE_ENTRY, serves=True)

#: The service whose page is a terminal, and the one that shows a target's own store.
SHELL, UI = "shell", "ui"

KINDS: Dict[str, Kind] = {
    kind.name: kind for kind in (NOTEBOOK, SCRIPT, MODULE, COMMAND, LINE, MLPROJECT, SERVICE)
}


def kind_of(job: JobSpec) -> Kind:
    """The row of a job's kind; raises JobError for one of a newer version."""
    kind = KINDS.get(job.kind)
    if kind is None:
        raise JobError(
            f"This version of the toolkit knows no kind of job {job.kind!r}.",
            "A newer one started it: update yours.",
        )
    return kind
