"""A machine with four GPUs, and processes that want them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.agent.gpus.jobs import Start
from tests.agent.gpus.users import PYTHON
from tests.conftest import ROOT
from tests.fakegpu import FakeGpus


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeGpus:
    made = FakeGpus(tmp_path / "fake gpus", count=4)
    monkeypatch.setenv("PATH", made.path())
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "leases of all"
    made.mkdir()
    made.chmod(0o1777)
    return made


@pytest.fixture
def start() -> Iterator[Start]:
    """Start Python code in a process, which ends with the test."""
    started: list[subprocess.Popen[str]] = []

    def begin(code: str, *words: object, **options: Any) -> subprocess.Popen[str]:
        argv = [sys.executable, "-c", code, *(str(word) for word in words)]
        options = {"cwd": ROOT, "stdout": subprocess.PIPE, "text": True, **options}
        started.append(subprocess.Popen(argv, **options))
        return started[-1]

    yield begin
    for each in started:
        each.kill()
        each.communicate()


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A world-writable folder and four GPUs for processes of several users."""
    if os.getuid() != 0:
        pytest.skip("needs root, to be two other users")
    if PYTHON is None:
        pytest.skip("needs a python3 of the system, for other users")
    folder = Path(tempfile.mkdtemp(prefix="remote-test-"))
    folder.chmod(0o1777)
    try:
        fake = FakeGpus(folder / "fake", count=4, python=PYTHON)
        for path in (folder / "fake", fake.bin):
            path.chmod(0o755)
        monkeypatch.setenv("PATH", fake.path())
        yield folder
    finally:
        shutil.rmtree(folder)
