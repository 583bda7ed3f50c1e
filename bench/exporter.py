"""mlflow-export-import, in a virtual environment of its own, and the server that it imports into."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from bench.stage import DEMO, ROOT, Failed, Skipped, run, timed
from remote.operations.jobs.bootstrap import own_uv
from scripts.sshd import free_port

VENV = DEMO / "bench-venv"

#: tabulate is imported by mlflow-export-import, which does not ask for it.
PACKAGES = ("mlflow-export-import==1.2.0", "tabulate")

START_LIMIT = 120.0  # seconds


def install() -> None:
    """Make the environment on first use, with this project's MLflow; raises Skipped."""
    wanted = "\n".join([*PACKAGES, f"mlflow=={version('mlflow')}"])
    done = VENV / ".ready"
    if done.is_file() and done.read_text() == wanted:
        return
    uv, python = str(own_uv()), str(VENV / "bin" / "python")
    lock = str(ROOT / "requirements.lock")
    try:
        run([uv, "venv", "-q", "--clear", "--no-project", "--python", sys.executable, str(VENV)])
        run([uv, "pip", "install", "-q", "--python", python, "-c", lock, *wanted.split()])
    except (Failed, OSError) as error:
        last = (str(error).strip().splitlines() or [""])[-1].strip()
        raise Skipped(f"mlflow-export-import could not be installed: {last}") from None
    done.write_text(wanted)


def transfer(there: Path, here: Path, experiment: str, folder: Path) -> float:
    """Seconds of the export from the store `there` and the import into the store `here`.

    The import goes through a server, whose start is not counted.
    """
    tools = VENV / "bin"
    export = [str(tools / "export-experiment"), "--experiment", experiment]
    exported = timed(
        [*export, "--output-dir", str(folder)],
        cwd=folder.parent,
        env={"MLFLOW_TRACKING_URI": f"sqlite:///{there}"},
    )
    bring = [str(tools / "import-experiment"), "--experiment-name", experiment]
    with _server(here) as address:
        imported = timed(
            [*bring, "--input-dir", str(folder)],
            cwd=folder.parent,
            env={"MLFLOW_TRACKING_URI": address},
        )
    return exported + imported


@contextlib.contextmanager
def _server(store: Path) -> Iterator[str]:
    """The address of an MLflow server on loopback."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    argv = [str(VENV / "bin" / "mlflow"), "server", "--host", "127.0.0.1", "--port", str(port)]
    argv += ["--workers", "1", "--backend-store-uri", f"sqlite:///{store}"]
    argv += ["--artifacts-destination", str(store.with_name("mlruns"))]
    log = store.with_name("server.log")
    with open(log, "wb") as out:
        process = subprocess.Popen(
            argv,
            cwd=store.parent,
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_for(address, process, log)
        yield address
    finally:
        _end(process)


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_LIMIT
    while True:
        with contextlib.suppress(OSError):
            with urllib.request.urlopen(f"{address}/health", timeout=5):
                return
        if process.poll() is not None or time.monotonic() > deadline:
            raise Failed(f"the MLflow server did not start:\n{log.read_text()[-800:]}")
        time.sleep(0.1)


def _end(process: subprocess.Popen[bytes]) -> None:
    """The server and the processes that it started: they are a group of their own."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
