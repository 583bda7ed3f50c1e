"""A repository that somebody unpacked: nothing that its configuration names is run by a look at it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from remote.operations import git

#: Each names a program, in its own way (git-config(1), gitattributes(5)).
PROGRAMS = {
    "core.fsmonitor": "{}",
    "core.hooksPath": "{hooks}",
    "diff.external": "{}",
    "diff.mine.textconv": "{}",
    "diff.mine.command": "{}",
    "filter.mine.clean": "{}",
    "filter.other.process": "{}",
    "filter.a.b c.clean": "{}",
    "alias.status": "!{}",
    "alias.diff": "!{}",
    "core.pager": "{}",
    "core.sshCommand": "{}",
    "core.gitProxy": "{}",
    "core.alternateRefsCommand": "{}",
    "credential.helper": "!{}",
    "gpg.program": "{}",
    "interactive.diffFilter": "{}",
}
ATTRIBUTES = "*.py diff=mine filter=mine\n*.txt filter=other\n*.md filter=a.b\n"


@pytest.fixture
def evil(tmp_path: Path) -> Path:
    """A program that leaves a mark."""
    program = tmp_path / "evil"
    program.write_text(f"#!/bin/sh\necho \"$0 $*\" >> '{tmp_path}/ran'\ncat\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("where", ["the repository", "a submodule"])
def test_a_look_at_a_repository_runs_none_of_its_programs(
    tmp_path: Path, evil: Path, where: str
) -> None:
    root = outer = _repository(tmp_path / "unpacked")
    if where == "a submodule":
        root = _repository(outer / "sub")
        _git(outer, "add", "sub")
        _git(outer, "commit", "-q", "-m", "with a submodule")
    hooks = root / ".git" / "hooks"
    for name in ("post-index-change", "pre-commit", "fsmonitor-watchman", "reference-transaction"):
        hooks.mkdir(exist_ok=True)
        (hooks / name).write_text(evil.read_text())
        (hooks / name).chmod(0o755)
    for name, value in PROGRAMS.items():
        _git(root, "config", name, value.format(evil, hooks=hooks))
    (root / ".git" / "info").mkdir(exist_ok=True)
    (root / ".git" / "info" / "attributes").write_text(ATTRIBUTES)
    for name in ("a.py", "a.txt", "a.md", "new.py"):
        (root / name).write_text("changed\n")
    (tmp_path / "ran").unlink(missing_ok=True)

    assert git.git_state(outer).dirty
    patch = git.uncommitted(outer)
    assert patch.count("+changed") == 4
    assert not (tmp_path / "ran").exists(), (tmp_path / "ran").read_text()


def test_variables_of_git_name_no_program(
    tmp_path: Path, evil: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = _repository(tmp_path / "unpacked")
    (root / "a.py").write_text("changed\n")
    for name in ("GIT_EXTERNAL_DIFF", "GIT_PAGER", "GIT_SSH_COMMAND", "GIT_ASKPASS", "GIT_EDITOR"):
        monkeypatch.setenv(name, str(evil))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.fsmonitor")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", str(evil))
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", f"'core.fsmonitor'='{evil}'")
    assert git.git_state(root).dirty
    assert "+changed" in git.uncommitted(root)
    assert not (tmp_path / "ran").exists()


def _repository(root: Path) -> Path:
    root.mkdir()
    _git(root, "init", "-q")
    for name in ("a.py", "a.txt", "a.md"):
        (root / name).write_text("1\n")
    _git(root, "add", ".")
    _git(root, "commit", "-q", "-m", "x")
    return root


def _git(root: Path, *words: str) -> None:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    argv = ["git", "-C", str(root), *who, *words]
    subprocess.run(argv, check=True, capture_output=True)
