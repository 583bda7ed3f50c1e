"""Commit a few files of a repository, and nothing else of what its owner has changed or staged."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

#: What begins with these lies in the repository's own folder while something is half done there.
BUSY = {
    "MERGE_HEAD": "a merge",
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
}
#: Seconds to wait for another program that writes in the same repository.
PATIENCE = 15.0
#: What git names that it can't write because another git does.
LOCK = re.compile(r"(index|HEAD|refs/\S+)\.lock\b")
#: Variables that would lead git elsewhere, as they do in its hooks.
FOREIGN = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY")


class Refused(Exception):
    """git won't, and why."""


class Repository:
    """The repository that a folder lies in; raises Refused where it lies in none."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise Refused(f"there is no folder {folder}")
        self.root = folder
        top = self._git("rev-parse", "--show-toplevel").removesuffix("\n")
        self.root = Path(top).resolve()

    @property
    def head(self) -> str:
        """The commit that is checked out; empty before the first."""
        return self._git("rev-parse", "--verify", "--quiet", "HEAD", check=False).strip()

    @property
    def branch(self) -> str:
        """The branch that is checked out; empty where none is."""
        return self._git("symbolic-ref", "--short", "--quiet", "HEAD", check=False).strip()

    def name(self, path: Path) -> str:
        """A file's path in the repository; raises Refused where it lies outside."""
        real = path.resolve()
        if not real.is_relative_to(self.root):
            raise Refused(f"{real} lies outside of the repository {self.root}")
        return real.relative_to(self.root).as_posix()

    def differs(self, names: Sequence[str]) -> bool:
        """Whether any of the files is otherwise than in the commit, or not in it."""
        words = ("--porcelain", "--untracked-files=all", "--ignored=matching")
        return bool(self._git("status", *words, "--", *map(_literal, names)).strip())

    def ignores(self, name: str) -> bool:
        """Whether the repository's owner wants a file to stay out of it."""
        return bool(self._git("check-ignore", "--", name, check=False))

    def commit(self, names: Sequence[str], message: str) -> None:
        """Commit the files as they lie there; raises Refused, and then all is as it was."""
        self._check(names)
        known = self._git("ls-files", "-z", "--", *map(_literal, names)).split("\0")
        new = [_literal(name) for name in names if name not in known]
        if new:
            self._git("add", "--intent-to-add", "--", *new)
        try:
            self._git("commit", "--quiet", "--only", "-m", message, "--", *map(_literal, names))
        except BaseException:
            if new:
                self._git("rm", "--cached", "--force", "--quiet", "--", *new)
            raise

    def _check(self, names: Sequence[str]) -> None:
        for name in filter(self.ignores, names):
            raise Refused(f"git ignores {name} here (.gitignore)")
        own = Path(self._git("rev-parse", "--absolute-git-dir").removesuffix("\n"))
        for name, what in BUSY.items():
            if (own / name).exists():
                raise Refused(f"{what} is going on in {self.root}: finish it first")
        if self.head and not self.branch:
            raise Refused("no branch is checked out: git switch -c NAME")
        try:
            self._git("var", "GIT_COMMITTER_IDENT")
        except Refused:
            raise Refused(
                "git does not know who you are:"
                ' git config --global user.name "..."; git config --global user.email "..."'
            ) from None

    def _git(self, *words: str, check: bool = True) -> str:
        end = time.monotonic() + PATIENCE
        while True:
            done = _run(self.root, words)
            if done.returncode == 0 or not check:
                return done.stdout.decode("utf-8", "surrogateescape")
            said = done.stderr.decode("utf-8", "replace")
            if not LOCK.search(said) or time.monotonic() > end:
                raise Refused(_reason(words[0], said or done.stdout.decode("utf-8", "replace")))
            time.sleep(0.1)


def _literal(name: str) -> str:
    """A file may be called like one of git's patterns."""
    return f":(literal){name}"


def _run(folder: Path, words: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
    kept = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    argv = ["git", "-C", str(folder), *words]
    try:
        return subprocess.run(argv, env=kept, stdin=subprocess.DEVNULL, capture_output=True)
    except FileNotFoundError:
        raise Refused("git is not installed") from None


def _reason(what: str, said: str) -> str:
    """What git, or a hook of the repository, said last."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    fatal = [line for line in lines if line.startswith(("fatal:", "error:"))]
    return f"git {what}: {(fatal or lines or ['refused'])[-1][:300]}"
