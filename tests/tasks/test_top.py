"""When the dashboard opens, and for which servers."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from invoke.context import Context
from invoke.exceptions import Exit

from remote.tasks import top


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TARGET_DIR", str(tmp_path.parent / "usual"))
    (tmp_path / "pyproject.toml").touch()
    return tmp_path


def test_it_is_refused_where_there_is_no_terminal(project: Path) -> None:
    with pytest.raises(
        Exit, match="needs a terminal.\nFor scripts: inv remote-ps --json"
    ) as refused:
        top.remote_top(Context())
    assert refused.value.code == 2


def test_without_textual_it_says_how_to_install_it(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    for name in ("textual", "textual.app"):
        monkeypatch.setitem(sys.modules, name, None)
    for name in [name for name in sys.modules if name.startswith("remote.tasks.dashboard.")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(Exit) as refused:
        top.remote_top(Context())
    assert "Textual, which is not installed" in refused.value.message
    assert (
        "pip install 'remote-gpu-workflow[top]', or in the template: make install"
        in refused.value.message
    )


def test_it_shows_all_that_have_a_name_else_the_usual_one(project: Path) -> None:
    def labels(target: str = "") -> list[str]:
        return [server.target.label for server in top._servers(target)]

    assert labels() == [os.environ["TARGET_DIR"]]
    tables = '[tool.remote.targets]\na = "/a/x"\nb = "/b/x"\nc = "/c/x"\n[tool.remote.groups]\nlab = ["a", "b"]\n'
    (project / "pyproject.toml").write_text(tables)
    assert labels() == labels("all") == ["a", "b", "c"]
    assert labels("lab") == ["a", "b"] and labels("c") == ["c"]
