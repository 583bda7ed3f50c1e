"""Pushing what is saved, but for what only a running `inv watch` shows (tests/integration/test_watch.py)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from remote.config import Project
from remote.errors import ConfigError
from remote.operations.sync import Pushed
from remote.operations.transfers.sent_paths import ROOT
from remote.operations.watch import FLOOD, Watcher, _changes, _git_lock, watch
from remote.session import TargetSession
from remote.target import Target


@pytest.fixture
def server(tmp_path: Path) -> TargetSession:
    (tmp_path / "project").mkdir()
    return TargetSession.of(Project(tmp_path / "project", {}), Target.parse(f"{tmp_path}/there"))


def test_without_its_package_it_says_how_to_install_that(
    server: TargetSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    with pytest.raises(ConfigError, match="uv pip install watchfiles$"):
        watch(lambda: server, lambda *_: None)


def test_rules_that_cannot_be_read_are_told_and_taken_once_they_can(
    server: TargetSession, capsys: pytest.CaptureFixture[str]
) -> None:
    root, told = server.project.root, list[Pushed]()
    watcher = Watcher(root, lambda: server, lambda _, pushed: told.append(pushed))
    watcher.begin()
    for text in ("!\n", "!\n", "*.log\n"):
        (root / ".rsyncignore").write_text(text)
        (root / "a.log").write_text("")
        (root / "a.py").write_text(text)
        watcher.take({".rsyncignore", "a.py", "a.log"})
        watcher.push_if_due()
        watcher.push_if_due()
    assert capsys.readouterr().err.count("would switch off") == 1
    assert sorted(told[-1].files.sent) == [".rsyncignore", "a.py"]
    assert told[-1].is_whole and len(told) == 2


def test_more_folders_than_the_system_watches_are_told(
    server: TargetSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = mock.Mock(side_effect=OSError("OS file watch limit reached"))
    monkeypatch.setitem(sys.modules, "watchfiles", mock.Mock(watch=lambda *_, **__: iter(full, 0)))
    with pytest.raises(ConfigError, match="can't be watched: OS file watch limit") as told:
        watch(lambda: server, lambda *_: None)
    assert "max_user_watches" in told.value.hint


def test_a_file_that_is_renamed_over_another_of_its_size_and_time_is_sent(
    server: TargetSession,
) -> None:
    root, there = server.project.root, Path(server.target.path)
    for name in ("a.yaml", "b.yaml"):
        (root / name).write_text(f"file: {name}")
        # As a checkout leaves them.
        os.utime(root / name, (1_700_000_000, 1_700_000_000))
    watcher = Watcher(root, lambda: server, lambda *_: None)
    watcher.begin()
    os.replace(root / "b.yaml", root / "a.yaml")
    watcher.take({"a.yaml", "b.yaml"})
    watcher.push_if_due()
    assert (there / "a.yaml").read_text() == "file: b.yaml"
    assert not (there / "b.yaml").exists()


def test_what_git_ignores_and_is_called_like_a_secret_stays_here(
    server: TargetSession, capsys: pytest.CaptureFixture[str]
) -> None:
    root, there = server.project.root, Path(server.target.path)
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    (root / ".gitignore").write_text("*_token.txt\n")
    watcher = Watcher(root, lambda: again(server), lambda *_: None)
    watcher.begin()
    (root / "conf").mkdir()
    for name in ("my_token.txt", "conf/api_token.txt", "conf/a.py"):
        (root / name).write_text("x")
    for _ in range(2):
        # Of a folder that came as a whole, the system tells no more.
        watcher.take({"my_token.txt", "conf"})
        watcher.push_if_due()
    assert (there / "conf/a.py").is_file()
    assert not [*there.glob("**/*_token.txt")]
    said = capsys.readouterr().err
    assert said.count("not pushed: my_token.txt") == said.count("conf/api_token.txt:") == 1


def again(server: TargetSession) -> TargetSession:
    """The same target, as the next push sees it."""
    return TargetSession.of(server.project, server.target)


def test_where_the_system_may_have_dropped_changes_all_is_looked_at(
    server: TargetSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = server.project.root
    batches = [{(1, f"{root}/{number}") for number in range(FLOOD + 1)}, set[tuple[int, str]]()]

    def begun(*_: object, **__: object) -> Iterator[set[tuple[int, str]]]:
        return iter([batches.pop(0), set()])

    monkeypatch.setitem(sys.modules, "watchfiles", mock.Mock(watch=begun))
    changes = _changes(root)
    assert len(next(changes)) == FLOOD + 1
    # By a watch that is made anew: of folders that are new, the first one may know nothing.
    assert next(changes) == {ROOT} and not batches


@pytest.mark.parametrize("place", ["one/sub", "one/worktree", "beside", "two/module", "two"])
def test_it_waits_for_git_in_a_worktree_and_a_submodule_too(tmp_path: Path, place: str) -> None:
    def git(folder: str, *words: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always")
        subprocess.run(["git", *who, "-C", str(tmp_path / folder), *words], check=True)

    for name in ("one", "two"):
        (tmp_path / name / "sub").mkdir(parents=True)
        git(name, "init", "-q")
        git(name, "commit", "-q", "--allow-empty", "-m", "first")
    git("one", "worktree", "add", "-q", "worktree")
    git("one", "worktree", "add", "-q", "../beside")
    git("two", "submodule", "--quiet", "add", "../one", "module")
    asked = ["git", "-C", str(tmp_path / place), "rev-parse", "--git-path", "index.lock"]
    told = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    lock = _git_lock(tmp_path / place)
    assert lock and lock.parent.samefile((tmp_path / place / told).parent)
