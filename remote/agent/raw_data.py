"""data/raw is read-only while jobs run: they all take its write bits, the last one gives them back.

Each job holds a shared lock for as long as it runs, so whoever can lock alone is the last. What is
taken is written down before it is taken. A worker that is killed leaves the list, and the next job
that is the last, or whoever looks at the lost one, gives back from there.

A push writes into data/raw as it should: rsync resets the modes of what it sends, so nothing is
taken while one is under way, and a look every second finds what it left writable.

Links are not followed, and neither is a data/raw that is a link: what lies elsewhere may be others'.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import stat
import threading
from pathlib import Path
from typing import Dict, Iterator, Optional, Tuple

from remote.agent import processes
from remote.agent.target_dir import root_of
from remote.files import locked, try_lock, write_atomic
from remote.folders import move_aside
from remote.job.messages.target import ClearAnswer, ClearRequest
from remote.job.outputs import below
from remote.job.paths import STATE

FOLDER = "data/raw"
WRITE = 0o222

#: Seconds between two looks whether a push made it writable.
LOOK = 1.0

#: The beginning of rsync's folders for what a push holds back; one that was cut off goes on from there.
HELD_BACK = b".~"


class ReadOnly:
    """One job's part in keeping the data/raw of the project at `root` read-only."""

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.realpath(str(root)))
        self.raw = self.root / FOLDER
        self.mutex = self.root / STATE / "raw" / "mutex"
        self.users = self.root / STATE / "raw" / "users"
        self.taken = self.root / STATE / "raw" / "taken"
        self._share: Optional[io.FileIO] = None
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)

    def take(self) -> None:
        """Make it read-only for the life of this process, or until `give_back`."""
        if not _folder_mode(self.raw):
            return
        with locked(self.mutex):
            self._share = io.FileIO(str(self.users), "ab+")
            alone = try_lock(self._share, fcntl.LOCK_EX)
            try_lock(self._share, fcntl.LOCK_SH)
            if alone or _folder_mode(self.raw) & WRITE:
                self._take_bits()
        # Without /proc nobody can tell when a push is under way.
        if processes.PROC.joinpath("self/stat").exists():
            self._watch.start()

    def give_back(self) -> None:
        """Give back what this job and others took, unless others still run."""
        self._over.set()
        if self._watch.is_alive():
            self._watch.join()
        if self._share is None and not self.taken.exists():
            return
        with locked(self.mutex):
            with self._share or io.FileIO(str(self.users), "ab+") as share:
                if try_lock(share, fcntl.LOCK_EX):
                    self._give_bits()
            self._share = None

    def _look(self) -> None:
        with contextlib.suppress(OSError):
            while not self._over.wait(LOOK):
                if _folder_mode(self.raw) & WRITE and not is_pushed_to(self.root):
                    with locked(self.mutex):
                        self._take_bits()
                    if _folder_mode(self.raw) & WRITE and not is_pushed_to(self.root):
                        # Somebody else's folder: it will not get any better.
                        return

    def _take_bits(self) -> None:
        if is_pushed_to(self.root):
            return
        found = [(name, mode) for name, mode in _walk(self.raw) if mode & WRITE]
        taken = self._read()
        for name, mode in found:
            taken[name] = taken.get(name, 0) | mode & WRITE
        write_atomic(self.taken, b"".join(b"%o %s\0" % (taken[name], name) for name in taken))
        for name, mode in found:
            self._set_mode(name, mode & ~WRITE)

    def _give_bits(self) -> None:
        taken = self._read()
        if taken and _folder_mode(self.raw):
            for name, mode in _walk(self.raw):
                bits = taken.get(name, 0)
                if bits & ~mode:
                    self._set_mode(name, mode | bits)
        with contextlib.suppress(FileNotFoundError):
            self.taken.unlink()

    def _read(self) -> Dict[bytes, int]:
        """What was taken: the bits of each name below data/raw ("/a/b"; itself is "")."""
        try:
            lines = self.taken.read_bytes().split(b"\0")[:-1]
        except FileNotFoundError:
            return {}
        parts = (line.partition(b" ") for line in lines)
        return {name: int(bits, 8) for bits, _, name in parts}

    def _set_mode(self, name: bytes, mode: int) -> None:
        # What others own stays as it is, and what is gone needs nothing.
        with contextlib.suppress(OSError):
            os.chmod(os.fsencode(str(self.raw)) + name, mode)


def clear(request: ClearRequest) -> ClearAnswer:
    """Move what a push can't replace into its backup: folders of data, which no push deletes, and
    links to folders that it would follow.

    What can't be moved stays, and the push that asked for it meets it again.
    """
    root = root_of(request.key)
    names = [
        name
        for name in request.paths
        if not below(name, [STATE]) and (not request.links or (root / name).is_symlink())
    ]
    move_aside(root, root, names, root / STATE / "backup" / request.backup)
    return ClearAnswer()


def is_pushed_to(root: Path) -> bool:
    """Whether an rsync writes into the target at `root` now, as far as /proc tells."""
    for proc in processes.PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (proc / "comm").read_bytes() != b"rsync\n":
                continue
            argv = (proc / "cmdline").read_bytes().split(b"\0")[:-1]
            here = os.readlink(str(proc / "cwd")) == str(root)
            if here and b"--server" in argv and b"--sender" not in argv:
                return True
            # To a target without SSH no `rsync --server` is started; its last word is the
            # absolute path.
            last = os.fsdecode(argv[-1]) if argv else ""
            if os.path.isabs(last) and os.path.realpath(last) == str(root):
                return True
    return False


def _folder_mode(path: Path) -> int:
    """The mode of a folder; 0 for what is none, such as a link to one."""
    try:
        mode = os.lstat(str(path)).st_mode
    except FileNotFoundError:
        return 0
    return mode if stat.S_ISDIR(mode) else 0


def _walk(top: Path) -> Iterator[Tuple[bytes, int]]:
    """(name, mode) of `top` and of all plain files and folders in it; a name is as in `_read`."""
    start = os.fsencode(str(top))
    yield b"", stat.S_IMODE(os.lstat(start).st_mode)
    folders = [start]
    while folders:
        try:
            with os.scandir(folders.pop()) as listed:
                entries = list(listed)
        except (PermissionError, FileNotFoundError):
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.name.startswith(HELD_BACK):
                    continue
                folders.append(entry.path)
            elif not entry.is_file(follow_symlinks=False):
                continue
            # One that vanishes meanwhile must not hide those beside it.
            with contextlib.suppress(FileNotFoundError):
                mode = entry.stat(follow_symlinks=False).st_mode
                yield entry.path[len(start) :], stat.S_IMODE(mode)
