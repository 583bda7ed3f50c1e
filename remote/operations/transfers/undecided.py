"""Files that git ignores and that are called as if they held a secret: they stay here, and are named,
until the project's ignore file says what becomes of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from remote.config import is_environment
from remote.job import outputs
from remote.job.paths import STATE
from remote.operations.git import ignored
from remote.output import say, say_first
from remote.secret_files import any_may_be_secret, is_allowed, may_be_secret
from remote.session import TargetSession
from remote.transport.rsync_filters import IGNORE_FILE, IgnoreFile
from remote.transport.sent_names import sent_names

#: Bytes of a file that may be a key or a list of passwords; longer ones are data.
LONGEST = 1 << 16


def undecided(server: TargetSession, declared: Sequence[str], *, dry_run: bool) -> list[str]:
    """What a push of all holds back, which is said."""
    root, known = server.project.root, server.facts.undecided or ()
    held = _held(server, declared, {*known, *_ignored(root, _likely(root, declared))})
    if not dry_run:
        server.remember(undecided=tuple(held))
    _tell(held)
    return held


def undecided_among(
    server: TargetSession, declared: Sequence[str], paths: Iterable[str]
) -> list[str]:
    """What a push of these paths holds back; what no push told before is said."""
    root, known = server.project.root, server.facts.undecided or ()
    likely = chain.from_iterable(_likely(root, declared, path) for path in paths)
    new = _held(server, declared, {*_ignored(root, likely)} - {*known})
    if new:
        server.remember(undecided=(*known, *new))
        _tell(new)
    return [*known, *new]


def _likely(root: Path, declared: Sequence[str], top: str = "") -> Iterator[str]:
    """A file that is called like a secret, or those in a folder, but for what jobs write, data,
    environments and caches."""
    left, folders = {STATE, ".git", *outputs.links(declared), *outputs.paths(declared)}, [top]
    while folders:
        folder = folders.pop()
        if folder in left or is_environment(root / folder):
            continue
        try:
            with os.scandir(root / folder) as found:
                entries = list(found)
        except NotADirectoryError:
            yield from filter(may_be_secret, [folder])
            continue
        except OSError:
            # It went meanwhile, or rsync can't read it either.
            continue
        above = f"{folder}/" if folder else ""
        # One look for all of them: a large project has few such names.
        if any_may_be_secret(above + "/".join(entry.name for entry in entries)):
            names = (above + entry.name for entry in entries if not entry.is_dir())
            yield from filter(may_be_secret, names)
        folders += [
            above + entry.name
            for entry in entries
            if entry.is_dir(follow_symlinks=False) and entry.name != "__pycache__"
        ]


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


def _tell(held: Sequence[str]) -> None:
    if held:
        lines = [
            f"not pushed: {name}: git ignores it, and it is called like a secret" for name in held
        ]
        say_first(lines, "files")
        say(f"A line in {IGNORE_FILE} decides: NAME excludes it, !NAME sends it.")


def _may_be_secret(root: Path, name: str) -> bool:
    """Whether a file that is called like a secret may be one; data may be called anything."""
    path = root / name
    return (
        not name.startswith("data/")
        and not path.is_symlink()
        and path.is_file()
        and path.stat().st_size <= LONGEST
    )
