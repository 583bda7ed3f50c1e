"""What tells that nothing was changed in a project, and how long a push waits so that it can be told."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from remote.config import Project
from remote.operations.transfers import push_guard
from remote.operations.transfers.push_guard import LOCK, is_unchanged, outlast


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    for name in ("src/a/b.py", ".venv/lib/x.py", "data/results/r", "top.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("1")
    return root


def now(project: Path) -> int:
    """A moment that all before has gone by, and what comes next has not."""
    time.sleep(0.02)
    clock = project.with_name("clock")
    clock.write_text("")
    time.sleep(0.02)
    return clock.stat().st_mtime_ns


CHANGES: dict[str, tuple[Callable[[Path], object], bool]] = {
    "nothing": (lambda root: None, True),
    "content": (lambda root: (root / "src/a/b.py").write_text("2"), False),
    "mode": (lambda root: (root / "src/a/b.py").chmod(0o600), False),
    "gone": (lambda root: (root / "src/a/b.py").unlink(), False),
    "a file in the root": (lambda root: (root / "new").write_text(""), False),
    "an output": (lambda root: (root / "data/results/r").write_text("2"), True),
    "what is hidden": (lambda root: (root / ".venv/lib/x.py").write_text("2"), True),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen(project: Path, change: str) -> None:
    since = now(project)
    make, is_still = CHANGES[change]
    make(project)
    assert is_unchanged(project, since, ["data/results"]) == is_still


def test_what_is_large_or_unreadable_may_have_changed(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    since = now(project)
    assert not is_unchanged(project / "missing", since, [])
    assert not is_unchanged(project, 0, [])
    monkeypatch.setattr(push_guard, "MANY", 2)
    assert not is_unchanged(project, since, [])


@pytest.mark.parametrize(
    ("name", "age", "began", "is_awaited"),
    [("a.py", 0, 0, True), ("a.py", 5, 0, False), ("a.py", 0, 5, False), ("data/a", 0, 5, True)],
)
def test_the_second_is_awaited_in_which_a_file_was_written(
    name: str,
    age: int,
    began: int,
    is_awaited: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Code that was written while a push ran is sent once more, by a push that began later."""
    project, second, waits = Project(tmp_path, {}), 1_700_000_000, list[float]()
    for path, earlier in ((tmp_path / name, age), (project.state / LOCK, began)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
        os.utime(path, (second - earlier, second - earlier))
    monkeypatch.setattr(push_guard.time, "time", lambda: second + 0.25)
    monkeypatch.setattr(push_guard.time, "sleep", waits.append)
    outlast(project, [name, "gone"])
    assert waits == [0.75 if is_awaited else 0.0]
