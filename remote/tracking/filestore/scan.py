"""The files of one run, model or experiment, as a scan saw them. No link is ever followed."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from dataclasses import dataclass, field
from typing import Dict, List, Sequence, Tuple

VALUE_LIMIT = 1 << 20
"""Bytes of a parameter, a tag or a small meta.yaml: far above what MLflow itself allows."""
_TICK = 50_000_000
_SECOND = 1_000_000_000
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Unreadable(Exception):
    """What is wrong with a file's content, in a few words."""


@dataclass
class Tree:
    """The regular files below `folder` by part (`params`, …; "" is the folder itself) and name."""

    folder: str
    parts: Dict[str, Dict[str, Tuple[int, int]]] = field(default_factory=dict)
    """Of each file the size and the time of the last change in nanoseconds."""
    trouble: List[str] = field(default_factory=list)
    """What couldn't be looked at."""
    _seen: int = field(default_factory=time.time_ns)

    def names(self, part: str) -> List[str]:
        return sorted(self.parts.get(part, ()))

    def has(self, name: str) -> bool:
        return name in self.parts.get("", ())

    def path(self, part: str, name: str) -> str:
        return f"{self.folder}/{part}/{name}" if part else f"{self.folder}/{name}"

    def signature(self, salt: str) -> str:
        """Another one after any change, `salt` (where the folder is) included."""
        files = [(part, sorted(names.items())) for part, names in sorted(self.parts.items())]
        digest = hashlib.blake2b(digest_size=8)
        digest.update(repr((salt, files)).encode("utf-8", "backslashreplace"))
        return digest.hexdigest()

    def is_settled(self) -> bool:
        """False where one more change may leave sizes and times as they are.

        A file system tells the time in ticks; the coarsest in whole seconds or two.
        """
        if self.trouble:
            return False
        newest = max((time for part in self.parts.values() for _, time in part.values()), default=0)
        return newest < self._seen - (2 * _SECOND if newest % _SECOND == 0 else _TICK)


def scan(folder: str, parts: Sequence[str], files: Sequence[str]) -> Tree:
    """The files named `files` in `folder`, and all in its subfolders `parts`."""
    tree = Tree(folder)
    for entry in _entries(tree, folder, ""):
        if entry.name in files:
            _note_file(tree, entry, "", entry.name)
        elif entry.name in parts:
            _scan_part(tree, entry)
    return tree


def subfolders(folder: str) -> Tuple[List[str], List[str]]:
    """The names of the real folders in a folder, and of the links to folders."""
    real, links = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                real.append(entry.name)
            elif entry.is_symlink() and entry.is_dir():
                links.append(entry.name)
    return sorted(real), sorted(links)


def open_file(path: str) -> int:
    """A descriptor of a regular file; a pipe or a link is refused, not waited for or followed."""
    descriptor = os.open(path, _FLAGS)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Unreadable("it isn't a file")
    return descriptor


def read(path: str, limit: int = VALUE_LIMIT) -> bytes:
    """The whole content. Raises Unreadable for more than `limit` bytes, and OSError."""
    with open(open_file(path), "rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise Unreadable(f"it has more than {limit} bytes")
    return content


def read_text(path: str) -> str:
    try:
        return read(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unreadable("it isn't text") from error


def why(error: Exception) -> str:
    return str(error.strerror) if isinstance(error, OSError) else str(error)


def _scan_part(tree: Tree, top: os.DirEntry[str]) -> None:
    if not top.is_dir(follow_symlinks=False):
        tree.trouble.append(f"{top.name} isn't a folder")
        return
    waiting = [""]
    while waiting:
        inside = waiting.pop()
        for entry in _entries(tree, f"{tree.folder}/{top.name}/{inside}", f"{top.name}/{inside}"):
            name = inside + entry.name
            if entry.is_dir(follow_symlinks=False):
                waiting.append(name + "/")
            else:
                _note_file(tree, entry, top.name, name)


def _note_file(tree: Tree, entry: os.DirEntry[str], part: str, name: str) -> None:
    if not entry.is_file(follow_symlinks=False):
        what = "a link" if entry.is_symlink() else "not a file"
        tree.trouble.append(f"{part}/{name} is {what}".lstrip("/"))
        return
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError:
        return  # gone since
    tree.parts.setdefault(part, {})[name] = (status.st_size, status.st_mtime_ns)


def _entries(tree: Tree, folder: str, name: str) -> List[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        tree.trouble.append(f"{name or 'it'} can't be read ({why(error)})")
        return []
