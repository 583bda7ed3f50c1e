"""Files that git ignores and that are called as if they held a secret: they stay here, and are named,
until the project's ignore file says what becomes of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

from remote.operations.git import ignored, silence
from remote.operations.transfers.project_look import look
from remote.output import say, say_first
from remote.secret_files import is_allowed
from remote.session import TargetSession
from remote.transport.rsync_filters import IGNORE_FILE, IgnoreFile
from remote.transport.sent_names import sent_names

#: Bytes of a file that may be a key or a list of passwords; longer ones are data.
LONGEST = 1 << 16


def undecided(
    server: TargetSession, declared: Sequence[str], likely: Iterable[str], *, dry_run: bool
) -> list[str]:
    """What a push of all holds back of what is called like a secret, which is said."""
    root, known = server.project.root, server.facts.undecided or ()
    held = _held(server, declared, {*known, *_ignored(root, likely)})
    if not dry_run:
        server.remember(undecided=tuple(held))
    _tell(root, held)
    return held


def undecided_among(
    server: TargetSession, declared: Sequence[str], paths: Iterable[str]
) -> list[str]:
    """What a push of these paths holds back; what no push told before is said."""
    root, known = server.project.root, server.facts.undecided or ()
    likely = chain.from_iterable(look(root, declared, top=path).likely for path in paths)
    new = _held(server, declared, {*_ignored(root, likely)} - {*known})
    if new:
        server.remember(undecided=(*known, *new))
        _tell(root, new)
    return [*known, *new]


def _ignored(root: Path, likely: Iterable[str]) -> list[str]:
    """Those that git ignores, and that may be secrets."""
    names = [name for name in likely if _may_be_secret(root, name)]
    return ignored(root, names) if names else []


def _held(server: TargetSession, declared: Sequence[str], names: Iterable[str]) -> list[str]:
    """Those that would be sent, though the ignore file doesn't say so."""
    root = server.project.root
    allowed, sent = IgnoreFile.of(root).allowed, sent_names(root, names, declared)
    return sorted(
        name for name in sent if not is_allowed(name, allowed) and (root / name).is_file()
    )


def _tell(root: Path, held: Sequence[str]) -> None:
    if held:
        reason = silence(root)
        git = f"git may ignore it, and doesn't tell ({reason})" if reason else "git ignores it"
        lines = [f"not pushed: {name}: {git}, and it is called like a secret" for name in held]
        say_first(lines, "files")
        say(f"A line in {IGNORE_FILE} decides: NAME excludes it, !NAME sends it.")


def _may_be_secret(root: Path, name: str) -> bool:
    """Whether a file that is called like a secret may be one."""
    path = root / name
    return not path.is_symlink() and path.is_file() and path.stat().st_size <= LONGEST
