"""Lock files in a folder that everybody may write to, such as /tmp.

A lock lives as long as the process that holds it: the kernel frees it, whatever ends the process.
The file stays. No child process inherits a lock, since Python opens files for itself alone.

Others can put anything there under the names we use, so nothing but a plain file with one name is
taken, and no link is followed. O_CREAT comes second: in such a folder the kernel refuses it on
files of others (fs.protected_regular, see sysctl/fs in the kernel's documentation). A descriptor
for reading is enough for a lock, so files of other users serve as well as our own.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import os
import stat
import time
from pathlib import Path
from typing import Optional

from remote.errors import JobError
from remote.files import try_lock

_SAFE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

#: How often a file is tried that others make, or delete, before it can be opened and locked.
_TRIES = 20

_FAULTS = {
    errno.ELOOP: "is a link, which isn't followed",
    errno.EISDIR: "isn't a plain file, so it isn't used",
}


class RefusedError(JobError):
    """Something else lies where a lock file belongs, or the file can't be used."""


def take(path: Path) -> Optional[io.FileIO]:
    """Lock `path`, which is made if need be; None where another process holds it.

    The lock is freed when what comes back is closed. Raises RefusedError.
    """
    for _ in range(_TRIES):
        try:
            file = open_plain(path)
        except FileNotFoundError:
            try:
                file = make(path)
            except FileExistsError:
                # Made by another since, or a link: opening tells which.
                time.sleep(0.001)
                continue
            except OSError as error:
                raise _refused(path, error) from error
        if not _lock(file, fcntl.LOCK_EX):
            file.close()
            return None
        if is_at(file, path):
            return file
        # Somebody deleted it before the lock was ours: others lock another file by now.
        file.close()
    raise RefusedError(f"{path} vanishes again and again.")


def is_held(path: Path) -> bool:
    """Whether a living process holds the lock; raises RefusedError."""
    try:
        with open_plain(path) as file:
            return not is_free(file)
    except FileNotFoundError:
        return False


def is_free(file: io.FileIO) -> bool:
    """Whether nobody holds the lock of an open file. The lock is not kept."""
    if not _lock(file, fcntl.LOCK_SH):
        return False
    fcntl.flock(file, fcntl.LOCK_UN)
    return True


def is_at(file: io.FileIO, path: Path) -> bool:
    """Whether `path` still names this very file."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.lstat(str(path)))
    except FileNotFoundError:
        return False


def open_plain(path: Path) -> io.FileIO:
    """Open a lock file that is there; raises FileNotFoundError, and RefusedError for any other."""
    try:
        file = _opened(path, os.O_RDONLY)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _refused(path, error) from error
    status = os.fstat(file.fileno())
    if stat.S_ISREG(status.st_mode) and status.st_nlink <= 1:
        return file
    file.close()
    fault = "isn't a plain file"
    if stat.S_ISREG(status.st_mode):
        fault = f"has {status.st_nlink} names (hard links)"
    raise RefusedError(
        f"{path} {fault}, so it isn't used.", "Remove it; the next job makes it anew."
    )


def make(path: Path) -> io.FileIO:
    """A new file that everybody may read, whatever the umask; raises FileExistsError."""
    file = _opened(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    os.fchmod(file.fileno(), 0o644)
    return file


def delete(path: Path) -> None:
    """Remove a file, unless it is another user's, who is to do that."""
    with contextlib.suppress(OSError):
        os.unlink(str(path))


def keep_fresh(file: io.FileIO) -> None:
    """Let cleaners of /tmp see that the file is in use."""
    try:
        os.utime(file.fileno())
    except OSError:
        # Not our file. To be read counts as use too.
        with contextlib.suppress(OSError):
            os.pread(file.fileno(), 1, 0)


def _opened(path: Path, flags: int) -> io.FileIO:
    """A file that closes itself when it is forgotten, as an exception may make us do."""
    mode = "rb" if flags == os.O_RDONLY else "rb+"
    return io.FileIO(str(path), mode, opener=lambda name, _: os.open(name, flags | _SAFE, 0o644))


def _refused(path: Path, error: OSError) -> RefusedError:
    fault = _FAULTS.get(error.errno or 0, f"can't be used: {error.strerror}")
    return RefusedError(f"{path} {fault}.")


def _lock(file: io.FileIO, kind: int) -> bool:
    try:
        return try_lock(file, kind)
    except OSError as error:
        # Not the same as held: on a file system without locks everybody would seem to hold it.
        raise RefusedError(f"{file.name!r} can't be locked: {error.strerror}.") from error
