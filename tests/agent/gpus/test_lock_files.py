"""Lock files: what is taken for one, and what is refused."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import Any

import pytest

from remote.agent.gpus import lock_files
from remote.agent.gpus.lock_files import RefusedError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "remote-gpu-x.lease"


@pytest.fixture
def without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that has none, such as some network ones."""

    def refuse(file: Any, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)


def test_a_lock_that_is_held_is_not_given_twice(path: Path) -> None:
    file = lock_files.take(path)
    assert file is not None
    with file:
        assert lock_files.take(path) is None and lock_files.is_held(path)
    assert not lock_files.is_held(path)


def test_a_file_that_can_not_be_locked_is_not_taken_for_held(
    path: Path, without_locks: None
) -> None:
    with pytest.raises(RefusedError, match="can't be locked: No locks available"):
        lock_files.take(path)
    with pytest.raises(RefusedError, match="can't be locked"):
        lock_files.is_held(path)


def test_a_file_that_is_not_there_is_told(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        lock_files.is_held(path)
