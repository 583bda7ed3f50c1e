"""Pushing what is saved, but for what only a running `inv watch` shows (tests/integration/test_watch.py)."""

from __future__ import annotations

import sys
from pathlib import Path
from unittest import mock

import pytest

from remote.config import Project
from remote.errors import ConfigError
from remote.operations.sync import Pushed
from remote.operations.watch import Watcher, watch
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
