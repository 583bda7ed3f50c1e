"""Become a job's program: a script, a module, a command or an MLproject."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping

#: Hydra's own seam for what happens around its runs (`hydra.experimental.callback`).
CALLBACK = "remote.runtime.hydra_callback.JobCallback"
OVERRIDE = f"++hydra.callbacks.remote_job._target_={CALLBACK}"

#: Hydra 1.4 warns of every callback that no whitelist names. This one was not the user's idea.
QUIET = f"ignore:hydra.utils.instantiate() resolved _target_='{CALLBACK}'"

NOT_FOUND = 127
NOT_RUNNABLE = 126


def main() -> None:
    """`program <job folder>`: this process becomes the program, so its exit code is the job's."""
    folder = Path(sys.argv[2])
    job = json.loads((folder / "job.json").read_bytes())
    words = argv(job, python=sys.executable, run=os.environ.get("MLFLOW_RUN_ID", ""))
    variables = dict(os.environ)
    if job.get("hydra"):
        words += hydra_words(job)
        variables = hydra_variables(variables, folder)
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execvpe(words[0], words, variables)
    except (FileNotFoundError, NotADirectoryError):
        _fail(f"{words[0]}: not found in this job.", NOT_FOUND)
    except OSError as error:
        _fail(f"{words[0]}: {error.strerror}.", NOT_RUNNABLE)


def _fail(text: str, code: int) -> None:
    print(f"[remote] {text}", file=sys.stderr)
    sys.exit(code)


def hydra_variables(base: Mapping[str, str], folder: Path) -> Dict[str, str]:
    """What a Hydra application sees: the job's folder tells the callback what it belongs to."""
    warnings = ",".join(filter(None, [base.get("PYTHONWARNINGS"), QUIET]))
    return {**base, "REMOTE_JOB_FOLDER": str(folder.resolve()), "PYTHONWARNINGS": warnings}


def argv(job: Mapping[str, Any], *, python: str, run: str) -> List[str]:
    """The words of the program; `run` is the id of the job's MLflow run, if it has one."""
    kind, arguments = job["kind"], list(job.get("arguments", []))
    if kind == "command":
        return arguments
    if kind == "module":
        return [python, "-m", job["source"], *arguments]
    if kind == "mlproject":
        return [*_mlflow(job, python, run), *arguments]
    if kind == "script":
        return [*_runner(job["source"], python), *arguments]
    raise ValueError(f"not a kind of program: {kind!r}")


def _mlflow(job: Mapping[str, Any], python: str, run: str) -> List[str]:
    """`mlflow run` with `--run-id` makes the job's own run the project's, and adds nothing to it.

    Without that, MLflow makes another run and logs the parameters there.
    """
    values = job.get("parameters", {})
    given = [word for name, value in values.items() for word in ("-P", f"{name}={value}")]
    entry = ["-e", job.get("entry_point") or "main", "--env-manager", "local"]
    own = ["--run-id", run] if run else []
    return [python, "-m", "mlflow", "run", _path(job["source"] or "."), *entry, *own, *given]


def _runner(source: str, python: str) -> List[str]:
    path = _path(source)
    if not source.endswith(".sh"):
        return [python, path]
    return [path] if _runs_itself(path) else ["sh", path]


def _path(source: str) -> str:
    """A path that is neither an option nor looked for on PATH."""
    return source if os.path.isabs(source) else os.path.join(".", source)


def _runs_itself(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return os.access(path, os.X_OK) and file.read(2) == b"#!"
    except OSError:
        return False


def hydra_words(job: Mapping[str, Any]) -> List[str]:
    """What a Hydra application gets behind the user's own words."""
    if any(_forbids(path) for path in _sources(job)):
        print(
            f"[remote] The application's execution_whitelist lacks '{CALLBACK}': its runs are not"
            " recorded one by one, and its sweeps start anew.",
            file=sys.stderr,
        )
        return []
    return [OVERRIDE]


def _sources(job: Mapping[str, Any]) -> Iterator[Path]:
    if job["kind"] == "script":
        yield Path(job["source"])
    else:
        path = Path(*job["source"].split("."))
        for top in (Path("src"), Path()):
            yield top / path.with_suffix(".py")
            yield top / path / "__main__.py"


def _forbids(path: Path) -> bool:
    """Whether the application lists what its configuration may name, and we are not listed."""
    try:
        source = path.read_bytes()
    except OSError:
        return False
    return b"execution_whitelist" in source and b"remote.runtime" not in source
