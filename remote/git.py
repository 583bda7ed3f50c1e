"""What git says of the project as it is being pushed."""

from __future__ import annotations

from pathlib import Path

from remote.job.spec import Git
from remote.transport import process


def state(root: Path) -> Git:
    """Where the project stands; an empty Git where there is none, or no commit yet."""
    argv = ["git", "-C", str(root), "status", "--porcelain=v2", "--branch"]
    try:
        result = process.run(argv)
    except FileNotFoundError:
        return Git()
    return parse(result.stdout.decode("utf-8", "replace")) if result.code == 0 else Git()


#: Bytes of a difference that are kept; a diff that long is generated data.
LONGEST = 4 << 20


def uncommitted(root: Path) -> str:
    """What the files under git's eyes have beyond the commit, and the names of new files."""
    head = ["git", "-C", str(root)]
    changed = process.run([*head, "diff", "HEAD", "--no-color", "--no-ext-diff"])
    new = process.run([*head, "ls-files", "--others", "--exclude-standard"])
    text = changed.stdout[:LONGEST].decode("utf-8", "replace")
    names = new.stdout[:LONGEST].decode("utf-8", "replace").splitlines()
    return text + "".join(f"# new file, not in git: {name}\n" for name in names)


def parse(text: str) -> Git:
    """Read the output of `git status --porcelain=v2 --branch` (git-status(1))."""
    lines = text.splitlines()
    heads = dict(line[2:].partition(" ")[::2] for line in lines if line.startswith("# "))
    commit = heads.get("branch.oid", "")
    if commit in ("", "(initial)"):
        return Git()
    dirty = any(not line.startswith("# ") for line in lines)
    return Git(commit=commit, branch=heads.get("branch.head", ""), dirty=dirty)
