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


def test_a_file_that_is_not_there_is_not_held(path: Path) -> None:
    assert not lock_files.is_held(path) and not path.exists()


def test_a_file_that_is_there_is_opened_without_creating(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel refuses O_CREAT on files of others in a sticky folder (fs.protected_regular)."""
    path, real = tmp_path / "remote-gpu-x.lease", os.open
    flags: list[int] = []

    def remember(name: Any, flag: int, mode: int = 0o777) -> int:
        flags.append(flag)
        return real(name, flag, mode)

    monkeypatch.setattr(os, "open", remember)
    for _ in range(2):
        file = lock_files.take(path)
        assert file is not None
        file.close()
    made = [bool(flag & os.O_CREAT) for flag in flags]
    assert made == [False, True, False] and flags[1] & os.O_EXCL
    assert all(flag & os.O_NOFOLLOW and flag & os.O_CLOEXEC for flag in flags)


def test_a_file_that_is_deleted_between_opening_and_locking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "remote-gpu-x.lease"
    path.touch()
    real, deleted = lock_files._lock, []

    def delete_first(file: Any, kind: int) -> bool:
        if not deleted:
            deleted.append(path.unlink())
        return real(file, kind)

    monkeypatch.setattr(lock_files, "_lock", delete_first)
    file = lock_files.take(path)
    assert file is not None and lock_files.is_at(file, path)
    monkeypatch.setattr(lock_files, "_lock", real)
    assert lock_files.take(path) is None
    file.close()


def test_a_file_that_is_always_deleted_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "remote-gpu-x.lease"
    real = lock_files._lock

    def delete(file: Any, kind: int) -> bool:
        path.unlink()
        return real(file, kind)

    monkeypatch.setattr(lock_files, "_lock", delete)
    with pytest.raises(lock_files.RefusedError, match="vanishes"):
        lock_files.take(path)
