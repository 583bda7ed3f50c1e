"""Where a file store keeps what, and its files as one look saw them. No link is ever followed.

<id>/meta.yaml, tags/                          an experiment; deleted ones are below .trash/
<id>/datasets/<hash>/meta.yaml
<id>/<run>/meta.yaml, params/, tags/, metrics/, inputs/, outputs/, artifacts/
<id>/models/m-…/meta.yaml, params/, tags/, metrics/, artifacts/
<id>/traces/<trace>/, models/<name>/            traces and registered models: not read, see NOT_READ
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import stat
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence, Set, Tuple
from urllib.parse import unquote

from remote.tracking.store import unusable

META = "meta.yaml"
TRASH = ".trash/"
NOT_RUNS = {"tags", "datasets", "traces", "models"}
NOT_READ = {
    "traces": "*/traces/*/trace_info.yaml",
    "assessments": "*/traces/*/assessments/*.yaml",
    "registered models": "models/*/meta.yaml",
    "prompts": "models/*/tags/mlflow.prompt.is_prompt",
}
"""What else MLflow keeps in a file store, by the pattern of its files below the root.

In words, not as tables are called: of a table, the user is told which flag brings it.
"""
LIMIT = 24 << 20
"""Bytes of a file that is read at once: MLflow allows a data set a profile of 16 MiB."""

_EXPERIMENT_ID = re.compile(r"(?:0|[1-9][0-9]{0,17})\Z", re.ASCII)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Unreadable(Exception):
    """What is wrong with a file's content, in a few words."""


FAULTS = (OSError, Unreadable)
"""What a file of somebody's store can fail with: it costs that file, never the rest."""


def is_file_store(folder: Path) -> bool:
    """True for a folder with an experiment in it, if only a deleted one; raises UnusableStore."""
    try:
        names, _ = experiments(str(folder))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise unusable(folder, error) from error
    return any(os.path.isfile(f"{folder}/{name}/{META}") for name in names.values())


def experiments(root: str) -> Tuple[Dict[int, str], List[str]]:
    """All folders that can be experiments, `3` or `.trash/3`, by id; and those that are links.

    Looked at twice, since one that is restored meanwhile moves from the second place to the first.
    """
    folders: Dict[int, str] = {}
    links: Set[str] = set()
    for above in ("", TRASH, ""):
        top = f"{root}/{above}".rstrip("/")
        if above and (os.path.islink(top) or not os.path.isdir(top)):
            continue
        with os.scandir(top) as entries:
            for entry in entries:
                if not _EXPERIMENT_ID.match(entry.name):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.setdefault(int(entry.name), above + entry.name)
                elif entry.is_dir():
                    links.add(above + entry.name)
    return dict(sorted(folders.items())), sorted(links)


def not_read(root: str) -> List[str]:
    """The kinds of records that the store has and that aren't read, by their names in NOT_READ."""
    patterns = {kind: f"{glob.escape(root)}/{pattern}" for kind, pattern in NOT_READ.items()}
    return [kind for kind in patterns if next(glob.iglob(patterns[kind]), None) is not None]


def scan(folder: str, parts: Sequence[str]) -> Tuple[Dict[str, Tuple[int, int]], List[str]]:
    """The regular files in a folder, its meta.yaml and those below its subfolders `parts`.

    By their paths in the folder, the size and the time of the last change in nanoseconds; and what
    couldn't be looked at.
    """
    files: Dict[str, Tuple[int, int]] = {}
    trouble = []
    waiting = [""]
    while waiting:
        inside = waiting.pop()
        try:
            with os.scandir(f"{folder}/{inside}") as entries:
                listed = list(entries)
        except OSError as error:
            trouble.append(f"{inside or 'it'} can't be read ({why(error)})")
            continue
        for entry in listed:
            name = inside + entry.name
            if not inside and name != META and name not in parts:
                continue
            if not is_text(name):
                trouble.append(f"{name} can't be read (its name isn't text)")
            elif entry.is_dir(follow_symlinks=False):
                waiting.append(name + "/")
            elif not entry.is_file(follow_symlinks=False):
                trouble.append(f"{name} is {'a link' if entry.is_symlink() else 'not a file'}")
            else:
                with contextlib.suppress(FileNotFoundError):  # gone since
                    status = entry.stat(follow_symlinks=False)
                    files[name] = (status.st_size, status.st_mtime_ns)
    return files, sorted(trouble)


def is_text(name: str) -> bool:
    """False for a name that no database takes."""
    try:
        return bool(name.encode("utf-8"))
    except UnicodeError:
        return False


def open_file(path: str) -> int:
    """A descriptor of a regular file; a pipe or a link is refused, not waited for or followed."""
    descriptor = os.open(path, _FLAGS)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Unreadable("it isn't a file")
    return descriptor


def read(path: str) -> bytes:
    """The whole content. Raises Unreadable for more than LIMIT bytes, and OSError."""
    with open(open_file(path), "rb", buffering=0) as file:
        if os.fstat(file.fileno()).st_size > LIMIT:
            raise Unreadable(f"it has more than {LIMIT} bytes")
        return file.read()


def is_below(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip("/") + "/")


def why(error: Exception) -> str:
    return str(error.strerror) if isinstance(error, OSError) else str(error)


class Artifacts:
    """Says where artifacts lie now.

    A meta.yaml says where they lay when it was written: the store may have been moved since, the
    path may be relative to a forgotten working directory, a deleted experiment has gone to .trash.
    """

    def __init__(self, root: str, experiments: Mapping[int, str], roots: Sequence[str]) -> None:
        """`roots` are folders that the puller reaches: outside of them, paths stay as written."""
        self.root = root
        name = re.escape(os.path.basename(root))
        self._pattern = re.compile(rf"(?:.*/)?(?:mlruns|{name})/([0-9]+)((?:/.*)?)\Z", re.ASCII)
        self._paths = {str(number): f"{root}/{experiments[number]}" for number in experiments}
        self._is_reachable = any(is_below(root, above) for above in roots)

    def now(self, location: Optional[str]) -> Optional[str]:
        """`location`, if it isn't below an experiment's own folder."""
        path = location or ""
        if path.startswith("file:"):
            path = unquote(re.sub(r"\Afile:(//(localhost)?(?=/))?", "", path))
        elif _SCHEME.match(path):
            return location
        match = self._pattern.match(path)
        if not self._is_reachable or match is None or match[1] not in self._paths:
            return location
        return self._paths[match[1]] + match[2]
