"""A server of our own, for as long as it is needed, and questions to it."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from building.folder import ENTRYPOINT
from common.step import StepError
from PIL import Image

HOST = "127.0.0.1"
START = 120.0  # seconds until the server must answer
ANSWER = 60.0  # seconds until it must have answered a question
END = 10.0  # seconds until it must have ended


class Server:
    """One connection to a server; no proxy lies between."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection(HOST, port, timeout=ANSWER)

    def health(self) -> dict[str, Any]:
        """What the server tells of its model; raises OSError where it doesn't answer yet."""
        return self._ask("GET", "/health")

    def predict(self, image: np.ndarray) -> tuple[dict[str, Any], float]:
        """(the answer, the milliseconds that it took); the image is packed before."""
        packed = png(image)
        begun = time.perf_counter()
        answer = self._ask("POST", "/predict", packed)
        return answer, (time.perf_counter() - begun) * 1000

    def _ask(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        self._connection.request(method, path, body)
        response = self._connection.getresponse()
        text = response.read()
        if response.status != 200:
            raise StepError(f"The server answered {path} with {response.status}: {text[:200]!r}")
        return json.loads(text)


def png(image: np.ndarray) -> bytes:
    """An image (32, 32, 3), bytes, as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


@contextlib.contextmanager
def served(folder: Path, log: Path) -> Iterator[Server]:
    """The server of `folder` on a free port of loopback; it is ended afterwards."""
    port = _free_port()
    settings = {"HOST": HOST, "PORT": str(port), "PYTHON": sys.executable}
    with open(log, "wb") as output:
        process = subprocess.Popen(
            ["sh", str(folder / ENTRYPOINT)],
            env={**os.environ, **settings},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield _answering(process, port, folder, log)
    finally:
        _end(process)


def _free_port() -> int:
    with socket.socket() as held:
        held.bind((HOST, 0))
        return held.getsockname()[1]


def _answering(process: subprocess.Popen, port: int, folder: Path, log: Path) -> Server:
    """The server, once it answers and is the one that we have started."""
    wanted = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    end = time.monotonic() + START
    while process.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError, http.client.HTTPException):
            server = Server(port)
            if server.health() == wanted:
                return server
        time.sleep(0.05)
    said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    raise StepError(f"The server does not answer: {(said or ['it said nothing'])[-1]} ({log})")


def _end(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(END)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
