"""What git says of a project: where it stands, and a patch of what it has beyond the commit."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from remote.job.spec import Git
from remote.operations import git


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"):
        monkeypatch.setenv(name, "t")
    for name in ("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"):
        monkeypatch.setenv(name, "t@example.org")
    root = tmp_path / "proj ect"
    root.mkdir()
    run(root, "init", "-q", "-b", "main/日本")
    return root


def run(root: Path, *words: str) -> str:
    argv = ["git", "-C", str(root), *words]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


def commit(root: Path) -> str:
    (root / "a.py").write_text("1")
    run(root, "add", ".")
    run(root, "commit", "-q", "-m", "x")
    return run(root, "rev-parse", "HEAD")


def test_a_clean_commit(repository: Path) -> None:
    head = commit(repository)
    assert git.git_state(repository) == Git(head, "main/日本", dirty=False)


@pytest.mark.parametrize("name", ["a.py", "new file.py", "日本.py"])
def test_any_difference_is_dirty(repository: Path, name: str) -> None:
    commit(repository)
    (repository / name).write_text("22")
    assert git.git_state(repository).dirty is True


def test_a_staged_difference_is_dirty(repository: Path) -> None:
    commit(repository)
    (repository / "a.py").unlink()
    run(repository, "add", "-A")
    assert git.git_state(repository).dirty is True


def test_what_git_ignores_is_not_dirty(repository: Path) -> None:
    (repository / ".gitignore").write_text("*.log\n")
    commit(repository)
    (repository / "x.log").write_text("")
    assert git.git_state(repository).dirty is False


def test_a_detached_head(repository: Path) -> None:
    head = commit(repository)
    run(repository, "checkout", "-q", "--detach")
    assert git.git_state(repository) == Git(head, "(detached)", dirty=False)


def test_before_the_first_commit_there_is_nothing_to_say(repository: Path) -> None:
    assert git.git_state(repository) == Git()


def test_without_a_repository_there_is_nothing_to_say(tmp_path: Path) -> None:
    assert git.git_state(tmp_path) == Git()


def test_without_git_there_is_nothing_to_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git.git_state(tmp_path) == Git()


@pytest.mark.parametrize("text", ["", "nonsense", "# \0#\0# branch.oid", "# branch.oid (initial)"])
def test_odd_words_say_nothing(text: str) -> None:
    assert git.parse_status(text) == Git()
