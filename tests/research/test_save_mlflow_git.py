"""save_mlflow and git: the calling notebook is committed, and nothing else is touched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lib.tracking import source
from lib.tracking.source import Source

SCRIPT = "src/[a] 'script' 学習.py"


class Repo:
    """A repository with a script that calls, and git in it."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True)
        self.root = root
        self.git("init", "-q", "-b", "main")
        self.git("config", "user.name", "A Tester")
        self.git("config", "user.email", "tester@example.com")

    def git(self, *words: str, check: bool = True) -> str:
        done = subprocess.run(
            ["git", *words], cwd=self.root, capture_output=True, text=True, check=check
        )
        return done.stdout.strip()

    def write(self, name: str, text: str = "one\n") -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        return path

    def begin(self, *names: str) -> str:
        """A first commit with these files."""
        for name in names or ("README",):
            self.write(name)
        self.git("add", "--", *(names or ("README",)))
        self.git("commit", "-q", "-m", "begin")
        return self.head

    @property
    def head(self) -> str:
        return self.git("rev-parse", "HEAD")

    @property
    def index(self) -> str:
        return self.git("ls-files", "--stage")

    def changed(self, commit: str = "HEAD") -> list[str]:
        """The files of a commit."""
        names = self.git("-c", "core.quotePath=off", "show", "--format=", "--name-only", commit)
        return names.splitlines()


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repo:
    for name in list(os.environ):
        if name.startswith("GIT_") and name != "GIT_CONFIG_GLOBAL":
            monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    return Repo(tmp_path / "a repository's 日本")


@pytest.fixture
def script(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The script that this process runs, as far as Python says."""
    path = repo.write(SCRIPT, "first\n")
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(path), raising=False)
    return path


def found(folder: Path | None = None, *, commit: bool = True) -> Source:
    return source.found(folder, commit=commit, message="a run")


def test_a_notebook_without_jupytext_has_no_twin(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = repo.write("a.ipynb", '{"cells": []}')
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(path), raising=False)
    monkeypatch.setitem(sys.modules, "jupytext", None)
    repo.begin()
    seen = found()
    assert seen.holds and 'make install extras="lab"' in seen.remark
    repo.write("a.py", "print('mine')\n")
    path.write_text('{"cells": [ ]}')
    assert "is no twin of it" in found().remark
    assert repo.changed() == ["a.ipynb"] and (repo.root / "a.py").read_text() == "print('mine')\n"


def test_a_new_file_is_committed_and_what_is_staged_stays_staged(repo: Repo, script: Path) -> None:
    similar = SCRIPT.replace("[a]", "a")
    repo.begin("kept", "staged", similar)
    repo.write("staged", "staged\n")
    repo.git("add", "staged")
    repo.write("staged", "and more\n")
    repo.write("kept", "changed\n")
    repo.write(similar, "changed\n")
    repo.write("new", "new\n")
    seen = found()
    assert seen == Source(SCRIPT, commit=repo.head, branch="main", holds=True)
    assert repo.changed() == [SCRIPT]
    assert repo.git("log", "-1", "--format=%s") == f"{script.name}: a run"
    status = repo.git("-c", "core.quotePath=off", "status", "--porcelain", "-z").split("\0")
    left = [line.strip() for line in status if line]
    assert sorted(left) == sorted(["M kept", f"M {similar}", "MM staged", "?? new"])
    assert repo.git("show", ":staged") == "staged"


def test_nothing_changed_and_the_present_commit_is_told(repo: Repo, script: Path) -> None:
    repo.begin()
    head = found().commit
    assert found() == Source(SCRIPT, head, "main", holds=True)
    assert repo.head == head
    assert found().tags["save_mlflow.commit"] == head


def test_a_change_is_committed_again(repo: Repo, script: Path) -> None:
    repo.begin()
    first = found().commit
    script.write_text("second\n")
    assert found().commit == repo.head != first
    assert repo.git("show", f"HEAD:{SCRIPT}") == "second"


def test_the_first_commit_of_a_repository(repo: Repo, script: Path) -> None:
    repo.write("other")
    repo.git("add", "other")
    seen = found()
    assert seen.holds and seen.commit == repo.head
    assert repo.git("status", "--porcelain") == "A  other"


def test_without_do_commit(repo: Repo, script: Path) -> None:
    repo.begin()
    head = found().commit
    assert found(commit=False).holds
    script.write_text("second\n")
    seen = found(commit=False)
    assert (seen.commit, seen.holds) == (head, False) and "do_commit" in seen.problem
    assert "save_mlflow.commit" not in seen.tags
    assert seen.tags["mlflow.source.git.commit"] == head


def refused(repo: Repo, *words: str) -> Source:
    """No commit was made, the index is as it was, and the reason has all words."""
    head, index = repo.git("rev-parse", "-q", "--verify", "HEAD", check=False), repo.index
    seen = found()
    assert not seen.holds and seen.commit == head, seen
    assert repo.git("rev-parse", "-q", "--verify", "HEAD", check=False) == head
    assert repo.index == index
    for word in words:
        assert word in seen.problem
    assert seen.tags["save_mlflow.not_committed"] == seen.problem
    return seen


def test_a_hook_that_fails(repo: Repo, script: Path) -> None:
    repo.begin()
    hook = repo.root / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(
        "#!/bin/sh\necho 'poetry.lock is old' >&2\necho 'no commits on Fridays' >&2\nexit 1\n"
    )
    hook.chmod(0o755)
    refused(repo, "no commits on Fridays")
    repo.git("add", "src")
    repo.git("commit", "-q", "--no-verify", "-m", "in")
    script.write_text("second\n")
    refused(repo, "no commits on Fridays")


def test_no_identity(repo: Repo, script: Path) -> None:
    repo.begin()
    for name in ("user.name", "user.email"):
        repo.git("config", "--unset", name)
    repo.git("config", "user.useConfigOnly", "true")
    refused(repo, "git config --global user.name")


def test_no_branch(repo: Repo, script: Path) -> None:
    repo.begin()
    head = found().commit
    repo.git("checkout", "-q", "--detach")
    assert found().holds
    script.write_text("second\n")
    seen = refused(repo, "git switch -c")
    assert seen.branch == "" and seen.commit == head


def test_a_merge_that_goes_on(repo: Repo, script: Path) -> None:
    repo.begin()
    for branch, text in (("other", "theirs\n"), ("main", "ours\n")):
        repo.git("switch", "-q", *(["-c"] if branch == "other" else []), branch)
        repo.write("README", text)
        repo.git("commit", "-q", "-am", branch)
    repo.git("merge", "-q", "other", check=False)
    refused(repo, "a merge is going on")


def test_an_ignored_file(repo: Repo, script: Path) -> None:
    repo.begin()
    repo.write(".gitignore", "src/\n")
    refused(repo, "git ignores")


def test_a_lock_of_another_git_is_waited_for(repo: Repo, script: Path) -> None:
    repo.begin()
    lock = repo.root / ".git/index.lock"
    lock.touch()
    threading.Timer(1, lock.unlink).start()
    assert found().holds


def test_outside_of_any_repository(
    tmp_path: Path, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "alone.py"
    path.touch()
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(path), raising=False)
    monkeypatch.chdir(tmp_path)
    assert "not a git repository" in found().problem and found().commit == ""
    head = repo.begin()
    seen = found(repo.root)
    assert "lies outside of the repository" in seen.problem and seen.commit == head
    assert "there is no folder" in found(tmp_path / "gone").problem


def test_without_git(repo: Repo, script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo.begin()
    monkeypatch.setenv("PATH", "/nowhere")
    assert found().problem == "git is not installed"


def test_a_caller_without_a_file(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["__main__"], "__file__", None, raising=False)
    head = repo.begin()
    seen = found(repo.root)
    assert "git_repo_dir" in seen.problem and seen.commit == head and not seen.holds


def test_the_hooks_of_git_lead_nowhere_else(
    repo: Repo, script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody may train within a hook, where GIT_DIR is set."""
    other = Repo(tmp_path / "other")
    head = other.begin()
    monkeypatch.setenv("GIT_DIR", str(other.root / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other.root / ".git/index"))
    assert found().holds
    for name in ("GIT_DIR", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name)
    assert other.head == head and repo.changed() == [SCRIPT]


def test_a_job_on_a_target_commits_nothing(
    repo: Repo, script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A target may lie inside of a repository of somebody's."""
    head = repo.begin()
    code = repo.write(".remote/jobs/20260131-120000-job-1/code/src/train.py")
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(code), raising=False)
    monkeypatch.setenv("REMOTE_JOB_ID", "20260131-120000-job-1")
    tags = {"mlflow.source.git.commit": "0123456789abcdef", "remote.source": "src/train.py"}
    monkeypatch.setenv("REMOTE_JOB_TAGS", json.dumps(tags))
    seen = found()
    assert "0123456789" in seen.problem and repo.head == head
    assert "mlflow.source.git.commit" not in seen.tags
