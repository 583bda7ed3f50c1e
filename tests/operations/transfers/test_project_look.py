"""What a push looks for among a project's files, and that what was moved is sent."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from remote.config import Project
from remote.operations.sync import push
from remote.operations.transfers.project_look import look
from remote.session import TargetSession
from remote.target import Target

#: Of one size and second, as a checkout of git leaves them.
FILES = ("conf/a.yaml", "conf/b.yaml", "conf/deep/c.yaml", "other/a.yaml", "data/raw/a.csv")
SECOND = 1_700_000_000


@pytest.fixture
def server(tmp_path: Path) -> TargetSession:
    root = tmp_path / "project"
    for number, name in enumerate(FILES):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"lr: {number}\n")
        os.utime(root / name, (SECOND, SECOND))
    return TargetSession.of(Project(root, {}), Target.parse(str(tmp_path / "there")))


def differing(server: TargetSession) -> set[str]:
    """The files that are not on both sides the same."""
    root, there = server.project.root, Path(server.target.path)
    names = {
        str(path.relative_to(top))
        for top in (root, there)
        for path in top.rglob("*")
        if path.is_file() and ".remote" not in path.parts
    }
    return {
        name
        for name in names
        if not ((root / name).is_file() and (there / name).is_file())
        or (root / name).read_bytes() != (there / name).read_bytes()
    }


def rename_a_file(root: Path) -> None:
    (root / "conf/b.yaml").rename(root / "conf/a.yaml")


def rename_over_another_folders_file(root: Path) -> None:
    (root / "other/a.yaml").rename(root / "conf/deep/c.yaml")


def swap_two_folders(root: Path) -> None:
    (root / "conf/b.yaml").unlink()
    (root / "conf/deep").rename(root / "deep")
    (root / "conf").rename(root / "before")
    (root / "other").rename(root / "conf")
    (root / "before").rename(root / "other")


MOVES = [rename_a_file, rename_over_another_folders_file, swap_two_folders]


@pytest.mark.parametrize("move", MOVES)
def test_what_takes_the_name_of_another_of_its_size_and_second_is_sent(
    server: TargetSession, move: object
) -> None:
    push(server)
    assert differing(server) == set()
    assert callable(move)
    move(server.project.root)
    pushed = push(TargetSession.of(server.project, server.target))
    assert differing(server) == set() and pushed.files.sent
    again = push(TargetSession.of(server.project, server.target))
    assert again.files.sent == [] and not again.files.anything
    # What it replaced is kept.
    kept = Path(server.target.path) / pushed.backup
    assert any(path.read_text().startswith("lr: ") for path in kept.rglob("*.yaml"))


def test_a_dry_run_tells_of_it(server: TargetSession) -> None:
    push(server)
    rename_a_file(server.project.root)
    pushed = push(TargetSession.of(server.project, server.target), dry_run=True)
    assert pushed.files.sent == ["conf/a.yaml"] and pushed.files.deleted == ["conf/b.yaml"]


@pytest.mark.parametrize("line", ["/", "//", ""])
def test_no_line_of_the_ignore_file_keeps_it_from_looking(tmp_path: Path, line: str) -> None:
    (tmp_path / ".rsyncignore").write_text(f"{line}\n/left\nnamed/\n")
    for name in ("my_token.txt", "left/my_token.txt", "a/named/my_token.txt", "a/my_token.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    # A link that leads in a circle is looked at as what it is.
    (tmp_path / "a/old_token").symlink_to("old_token")
    likely = look(tmp_path, []).likely
    assert sorted(likely) == ["a/my_token.txt", "a/old_token", "my_token.txt"]


def test_only_what_came_to_its_name_since_and_is_older_is_compared(tmp_path: Path) -> None:
    for name in ("a/old.py", "a/b/old.py", "data/old.csv", "data/results/old.csv", "c/old.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    time.sleep(0.05)
    since = time.time_ns()
    assert look(tmp_path, [], since=since).moved == []
    time.sleep(0.05)
    (tmp_path / "a/new.py").touch()
    (tmp_path / "data/old.csv").rename(tmp_path / "data/renamed.csv")
    assert look(tmp_path, [], since=since).moved == []
    (tmp_path / "a/old.py").rename(tmp_path / "a/renamed.py")
    assert look(tmp_path, [], since=since).moved == ["a/renamed.py"]
    # Now a folder that changed may have been moved as well.
    (tmp_path / "c").rename(tmp_path / "d")
    moved = look(tmp_path, [], since=since).moved
    assert sorted(moved) == ["a/b/old.py", "a/renamed.py", "d/old.py"]
    assert look(tmp_path, []).moved == []
