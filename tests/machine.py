"""A machine with few programs, and a package index that takes connections."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def only(monkeypatch: pytest.MonkeyPatch, folder: Path, *tools: str) -> Path:
    """Have a PATH with these tools alone, which are links in `folder`."""
    folder.mkdir(exist_ok=True)
    for tool in tools:
        (folder / tool).symlink_to(str(shutil.which(tool)))
    monkeypatch.setenv("PATH", str(folder))
    return folder


@contextmanager
def package_index(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Have uv's package index be here, with a password in its address, until it is closed."""
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://me:secret@127.0.0.1:{port}/simple")
        yield listening
