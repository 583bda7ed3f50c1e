"""What tells quickly that nothing was changed in a project."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from remote.operations.transfers import push_guard
from remote.operations.transfers.push_guard import is_unchanged


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
