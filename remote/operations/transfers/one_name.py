"""Names that differ in case: several files on the server are one on a disk that tells them not apart.

Macs' disks don't, nor what Windows formatted. rsync writes the one over the other, and says nothing.
"""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from remote.transport.rsync_problems import ONE_NAME, Problem


def is_blind(folder: Path) -> bool:
    """Whether what is in a folder is also found in another case."""
    with suppress(OSError):
        pairs = ((name, name.swapcase()) for name in os.listdir(folder))
        for name, other in pairs:
            if name != other:
                return os.path.samestat(os.lstat(folder / name), os.lstat(folder / other))
    return False


def problems(paths: Iterable[str], there: str) -> Iterator[Problem]:
    """Those of the paths, and of the folders above them, that are others' in another case; `there` is
    the machine that has them all."""
    names: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for folder, name in _parts(paths):
        # Nor do Macs tell the forms of Unicode apart.
        names[folder, unicodedata.normalize("NFC", name).casefold()].add(name)
    for (folder, _), alike in sorted(names.items()):
        for name in sorted(alike) if len(alike) > 1 else ():
            others = " and ".join(sorted(alike - {name}))
            reason = f"this machine's disk takes it and {others} for one"
            yield Problem(f"{folder}/{name}".lstrip("/"), reason, ONE_NAME, there)


def _parts(paths: Iterable[str]) -> set[tuple[str, str]]:
    """(folder, name in it) of each path and of each folder above."""
    found = set[tuple[str, str]]()
    for path in paths:
        while path:
            folder, _, name = path.rpartition("/")
            if (folder, name) in found:
                break
            found.add((folder, name))
            path = folder
    return found
