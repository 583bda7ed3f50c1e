"""What tells that a folder has changed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from remote.folders import mark_of


def write(path: Path, text: str, seconds: int = 1_700_000_000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (seconds, seconds))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "f/a", "1")
    write(tmp_path / "f/b/c", "1")
    (tmp_path / "f/link").symlink_to("a")
    return tmp_path / "f"


CHANGES: dict[str, Callable[[Path], object]] = {
    "size": lambda folder: write(folder / "b/c", "22"),
    "time": lambda folder: write(folder / "b/c", "1", 1_700_000_001),
    "a file": lambda folder: write(folder / "b/d", ""),
    "a folder": lambda folder: (folder / "b/d").mkdir(),
    "gone": lambda folder: (folder / "a").unlink(),
    "name": lambda folder: (folder / "a").rename(folder / "A"),
    "place": lambda folder: (folder / "a").rename(folder / "b/a"),
    "kind": lambda folder: ((folder / "a").unlink(), (folder / "a").mkdir()),
    "link": lambda folder: ((folder / "link").unlink(), (folder / "link").symlink_to("b")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_mark_changes_with_what_is_below(folder: Path, change: str) -> None:
    before = mark_of(folder)
    CHANGES[change](folder)
    assert before and mark_of(folder) not in ("", before)


def test_a_mark_is_that_of_the_content_wherever_it_lies(folder: Path, tmp_path: Path) -> None:
    before = mark_of(folder)
    os.utime(folder / "b", (1, 1))
    (tmp_path / "other").symlink_to(folder)
    assert before == mark_of(folder) == mark_of(tmp_path / "other")


def test_a_file_has_a_mark_too(folder: Path) -> None:
    assert mark_of(folder / "a") == mark_of(folder / "link") != mark_of(folder / "b")


def test_what_can_not_be_looked_at_has_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = os.scandir

    def refuse(path: str) -> object:
        if path.endswith("/b"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    os.mkfifo(folder.with_name("pipe"))
    assert mark_of(folder / "missing") == mark_of(folder.with_name("pipe")) == ""
    monkeypatch.setattr(os, "scandir", refuse)
    assert mark_of(folder) == ""


AS_ANOTHER = """if True:
    import os, shutil, sys
    from remote.folders import delete
    os.chdir(sys.argv[1])
    if not os.getuid():
        os.setgid(1234)
        os.setuid(1234)
    sys.exit(delete("gone") or 0)
"""


def test_folders_that_nobody_may_read_are_deleted_by_their_owner(tmp_path: Path) -> None:
    inner = tmp_path / "gone/closed/inner"
    inner.mkdir(parents=True)
    (inner / "a").touch()
    for folder in (inner, inner.parent):
        folder.chmod(0)
    if not os.getuid():
        for folder in (inner, inner.parent, tmp_path / "gone", tmp_path):
            os.chown(folder, 1234, 1234)
    argv = [sys.executable, "-c", AS_ANOTHER, str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / "gone").exists()
