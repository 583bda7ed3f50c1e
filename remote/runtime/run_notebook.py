"""Run a job's notebook with papermill, or with nbclient alone, with the interpreter that runs this."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable, Mapping, Tuple

from remote.agent.processes import descendants, send
from remote.files import FULL, overwrite, write_atomic
from remote.job.paths import JobPaths
from remote.job.spec import Job, read_job
from remote.job.status import Progress

KERNEL = "remote-job"
ENGINE = "remote-job"
MISSING = (
    "The job's environment lacks {name}. Add papermill and ipykernel to what it is made from (the lock"
    " file, environment.yml, the image)."
)


def main() -> None:
    """`notebook <job folder>`: the exit code is 1 where the notebook failed."""
    folder = Path(sys.argv[2])
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = execute(JobPaths(folder.parent.parent.parent, folder.name))
    except KeyboardInterrupt:
        code = 143
    sys.exit(code)


def _interrupt(number: int, frame: Any) -> None:
    """Interrupt the cell that runs, so that its own clean-up runs and the notebook tells of it."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    kernel = descendants(os.getpid())
    if not kernel:
        raise KeyboardInterrupt
    send(kernel, signal.SIGINT)


def execute(paths: JobPaths) -> int:
    """Execute the notebook of a job into `paths.notebook`; tells cells and output as they come."""
    job, place = read_job(paths.folder), Path.cwd()
    cwd, own = place / job.cwd, (place / job.source).parent
    # Where it runs elsewhere, the modules beside it are found all the same (site/sitecustomize.py).
    _write_kernel(paths.jupyter, {} if cwd == own else {"REMOTE_NOTEBOOK_FOLDER": str(own)})
    try:
        import ipykernel  # noqa: F401
        from traitlets.config import Config

        run, failure = _runner()
    except ModuleNotFoundError as error:
        print(MISSING.format(name=error.name), file=sys.stderr)
        return 1
    try:
        with tempfile.TemporaryDirectory(prefix="remote-", dir=_short_folder()) as sockets:
            # Others could reach a kernel by its ports, but not by sockets in a folder of our own.
            kernel = {"transport": "ipc", "ip": f"{sockets}/k"}
            run(paths, job, cwd, Config({"KernelManager": kernel}))
    except failure as error:
        # The notebook's own traceback, without papermill's, and without colours: logs are searched.
        text = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error.traceback))
        print(f"In cell [{error.exec_count}]:\n{text}", file=sys.stderr)
        if error.ename == "SystemExit":
            return exit_code(error.evalue)
        missing = file_beside(error.evalue, own, cwd)
        if missing:
            task = "run" if job.interpreter else "remote-run"
            way = f"inv {task} {job.source} --cwd notebook"
            print(
                f"[remote] {missing} is found from the notebook's own folder: {way}",
                file=sys.stderr,
            )
        return 1
    return 0


def _runner() -> Tuple[Callable[[JobPaths, Job, Path, Any], None], Any]:
    """What runs notebooks here, and the exception by which it tells of a cell that failed."""
    try:
        from papermill.exceptions import PapermillExecutionError
    except ModuleNotFoundError as error:
        if error.name != "papermill":
            raise
        from remote.runtime.plain_notebook import CellFailed

        return _run_plainly, CellFailed
    return _run_with_papermill, PapermillExecutionError


def _run_with_papermill(paths: JobPaths, job: Job, cwd: Path, config: Any) -> None:
    from papermill import execute_notebook
    from papermill.iorw import LocalHandler

    # The parameters were compared with the notebook's before; papermill reads the cell by patterns.
    logging.getLogger("papermill").addFilter(_is_no_doubt)
    _register_engine(paths)
    LocalHandler.write = lambda handler, text, path: save(paths.notebook, text)
    execute_notebook(
        _papermill_path(job.source),
        _papermill_path(os.path.relpath(paths.notebook)),
        parameters=dict(job.parameters),
        engine_name=ENGINE,
        kernel_name=KERNEL,
        language="python",
        progress_bar=False,
        stdout_file=sys.stdout,
        stderr_file=sys.stderr,
        cwd=str(cwd),
        config=config,
    )


def _run_plainly(paths: JobPaths, job: Job, cwd: Path, config: Any) -> None:
    from remote.runtime.plain_notebook import run

    run(
        job.source,
        job.parameters,
        kernel=KERNEL,
        cwd=cwd,
        config=config,
        begun=lambda cell, cells: _tell(paths, cell, cells),
        save=lambda text: save(paths.notebook, text),
    )


def _tell(paths: JobPaths, cell: int, cells: int) -> None:
    """Say which code cell of how many begins."""
    with contextlib.suppress(OSError):
        Progress(cell, cells).to_file(paths.progress)


def save(notebook: Path, text: str) -> None:
    """Replace the notebook in one step. On a full disk it is written over what is there, or stays as
    it was saved last: that costs outputs, and not the job."""
    data = text.encode("utf-8")
    try:
        write_atomic(notebook, data)
    except OSError as error:
        if error.errno not in FULL or not notebook.exists():
            raise
        before = notebook.read_bytes()
        try:
            overwrite(notebook, data)
        except OSError:
            overwrite(notebook, before)


def exit_code(text: str) -> int:
    """What `sys.exit` ends a process with, given what it was called with as text."""
    return int(text) & 0xFF if re.fullmatch("-?[0-9]+", text) else int(text != "None")


def _is_no_doubt(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(("Passed unknown parameter", "Unable to parse line"))


def file_beside(message: str, own: Path, cwd: Path) -> str:
    """The relative path in an error's words that isn't in `cwd` but in `own`; empty without one."""
    # Quoted, or a word that looks like a path.
    for names in re.findall(r"'([^'\n]+)'|\"([^\"\n]+)\"|([^\s'\"]+[./][^\s'\"]+)", message):
        name = "".join(names).rstrip(".,:;")
        name = os.path.relpath(name, str(cwd)) if os.path.isabs(name) else name
        if not (cwd / name).exists() and (own / name).exists():
            return name
    return ""


def _short_folder() -> str:
    """Where sockets may lie: their whole path has to fit into about a hundred bytes."""
    return tempfile.gettempdir() if len(tempfile.gettempdir()) < 40 else "/tmp"


def _papermill_path(path: str) -> str:
    """papermill fills `{name}` in paths with parameters; ours are to be taken as they are."""
    return path.replace("{", "{{").replace("}", "}}")


def _write_kernel(jupyter: Path, variables: Mapping[str, str]) -> None:
    """A kernel of the job's own: a name like `python3` may be taken by the account's files."""
    folder = jupyter / "kernels" / KERNEL
    folder.mkdir(parents=True, exist_ok=True)
    (jupyter / "runtime").mkdir(mode=0o700, exist_ok=True)
    # The kernel keeps this shell's process id, and is the one process that may take the job's run.
    offer = 'export REMOTE_JOB_OFFER="$$ $REMOTE_JOB_RUN"; exec "$@"'
    argv = ["sh", "-c", offer, "sh", sys.executable]
    argv += ["-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "The job's environment", "language": "python"}
    document = json.dumps({**spec, "env": dict(variables)})
    (folder / "kernel.json").write_text(document)


def _register_engine(paths: JobPaths) -> None:
    from papermill.engines import NBClientEngine, papermill_engines

    class ToldEngine(NBClientEngine):  # type: ignore[misc]
        """papermill's own engine, telling which cell it is at."""

        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> Any:
            start = nb_man.cell_start
            code = [i for i, cell in enumerate(nb_man.nb.cells) if cell.cell_type == "code"]

            def told(cell: Any, cell_index: Any = None, **rest: Any) -> Any:
                if cell_index in code:
                    _tell(paths, code.index(cell_index) + 1, len(code))
                return start(cell, cell_index, **rest)

            nb_man.cell_start = told
            return super().execute_managed_notebook(nb_man, kernel_name, **options)

    papermill_engines.register(ENGINE, ToldEngine)
