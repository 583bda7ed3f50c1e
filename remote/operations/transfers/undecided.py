"""Files that git ignores and that are called as if they held a secret: they stay here, and are named,
until the project's ignore file says what becomes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from remote.operations.git import ignored
from remote.output import say, say_first
from remote.secret_files import is_allowed, may_be_secret
from remote.session import TargetSession
from remote.transport.rsync_filters import IGNORE_FILE, IgnoreFile
from remote.transport.sent_names import sent_names

#: Bytes of a file that may be a key or a list of passwords; longer ones are data.
LONGEST = 1 << 16


def undecided(server: TargetSession, declared: Sequence[str], *, dry_run: bool) -> list[str]:
    """What this push holds back, which is said. The first one to a target looks for such files."""
    root, names = server.project.root, server.facts.undecided
    if names is None:
        names = tuple(filter(_may_be_secret(root), ignored(root)))
    allowed = IgnoreFile.of(root).allowed
    sent = sent_names(root, names, declared) if names else set()
    held = sorted(
        name for name in sent if not is_allowed(name, allowed) and (root / name).is_file()
    )
    if not dry_run:
        server.remember(undecided=tuple(held))
    if held:
        lines = [
            f"not pushed: {name}: git ignores it, and it is called like a secret" for name in held
        ]
        say_first(lines, "files")
        say(f"A line in {IGNORE_FILE} decides: NAME excludes it, !NAME sends it.")
    return held


def _may_be_secret(root: Path) -> Callable[[str], bool]:
    """What tells whether a file is called like a secret; data may be called anything."""

    def look(name: str) -> bool:
        path = root / name
        return (
            may_be_secret(name)
            and not name.startswith("data/")
            and not path.is_symlink()
            and path.is_file()
            and path.stat().st_size <= LONGEST
        )

    return look
