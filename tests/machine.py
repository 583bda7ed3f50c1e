"""A machine with few programs, and a package index that takes connections."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
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


def heed_modes(program: str, folder: Path) -> Path:
    """`program` as a script of its name in `folder`, for which modes count whoever runs it.

    root may read and write everything, and so would what a test of root's starts.
    """
    real, wrapper = shutil.which(program), folder / Path(program).name
    as_others = "setpriv --bounding-set=-dac_override,-dac_read_search,-fowner -- "
    if os.geteuid() == 0 and subprocess.run([*as_others.split(), "true"]).returncode:
        pytest.skip("root can't give up its rights here")
    folder.mkdir(exist_ok=True)
    wrapper.write_text(f'#!/bin/sh\nexec {as_others if os.geteuid() == 0 else ""}{real} "$@"\n')
    wrapper.chmod(0o755)
    return wrapper


def rsync_that_heeds_modes(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    """Have such an rsync come first on the PATH; the folder that it is in."""
    bin = heed_modes("rsync", folder / "bin").parent
    monkeypatch.setenv("PATH", f"{bin}{os.pathsep}{os.environ['PATH']}")
    return bin
