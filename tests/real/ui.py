"""A plain `mlflow ui`, started in a project's root as its user would."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.sshd import free_port

LIMIT = 90.0  # seconds


@contextlib.contextmanager
def served(root: Path) -> Iterator[str]:
    """Its address."""
    port = free_port()
    clean = {name: os.environ[name] for name in os.environ if not name.startswith("MLFLOW_")}
    process = subprocess.Popen(
        [
            str(Path(sys.executable).with_name("mlflow")),
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
        _wait_for(address + "/health", process)
        yield address
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def _wait_for(address: str, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + LIMIT
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(address, timeout=2).read()
            return
        time.sleep(0.1)
    pytest.fail(f"{address} does not answer")
