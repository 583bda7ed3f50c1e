"""A target with jobs in every state."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from remote.agent import target_dir
from remote.agent.launchers import LAUNCHERS
from remote.job.messages.target import PrepareRequest
from tests.agent.job_folder import (
    IDS,
    KEY,
    Elsewhere,
    add,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A target that was pushed to."""
    folder = tmp_path / "proj"
    folder.mkdir()
    target_dir.prepare(PrepareRequest(path=str(folder), key=KEY, project="a" * 32))
    return folder


@pytest.fixture
def three(root: Path) -> Path:
    for job_id in IDS:
        add(root, job_id)
    return root


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """What a worker would be."""
    with subprocess.Popen(["sleep", "60"]) as started:
        yield started
        started.kill()


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Elsewhere:
    launcher = Elsewhere()
    monkeypatch.setitem(LAUNCHERS, "elsewhere", launcher)
    return launcher
