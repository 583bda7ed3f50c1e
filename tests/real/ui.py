"""A plain `mlflow ui`, started in a project's root as its user would."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from scripts.sshd import free_port
from tests.waiting import until_it_answers


@contextlib.contextmanager
def served(root: Path, bin: Path = Path(sys.executable).parent) -> Iterator[str]:
    """Its address; the program is that of `bin`."""
    port = free_port()
    clean = {name: os.environ[name] for name in os.environ if not name.startswith("MLFLOW_")}
    process = subprocess.Popen(
        [
            str(bin / "mlflow"),
            "ui",
            "--port",
            str(port),
            "--workers",
            "1",
        ],
        cwd=root,
        env={**clean, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        until_it_answers(lambda: address + "/health", process)
        yield address
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)
