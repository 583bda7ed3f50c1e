"""Files that other processes read: written whole or not at all, shared ones under a lock. And how
many they are, in words."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import time
from pathlib import Path
from typing import IO, Any, Callable, Iterator, Optional, Tuple

from remote.errors import RemoteError

#: How a file system says that it has no locks, as network disks that are mounted without them do.
LOCKLESS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)

#: Seconds after which it is told that a lock is waited for.
SILENT = 1.0

#: Letters of what a lock's holder says of itself that are shown.
LONGEST_HOLDER = 200

#: What the system says of a path that this account may not read or write.
REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)

#: What the system says of a disk, or of an account's part of one, that has no room.
FULL = (errno.ENOSPC, errno.EDQUOT)


def write_atomic(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace `path` by `data` in one step; a reader sees the old file or the new one."""
    handle, name = _temporary(path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(name, mode)
        os.replace(name, str(path))
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise


def overwrite(path: Path, data: bytes) -> None:
    """Write `data` over a file, in the room that it has: no reader may be there. Raises OSError."""
    with open(str(path), "r+b") as file:
        file.write(data)
        file.truncate()
        file.flush()
        os.fsync(file.fileno())


def _temporary(folder: Path) -> Tuple[int, str]:
    """A new file for its owner alone: descriptor and path. The module tempfile takes 6 ms to import,
    at each start of the agent."""
    name = str(folder / f".tmp-{os.urandom(8).hex()}")
    return os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), name


def write_json(path: Path, value: Any, *, mode: int = 0o644) -> None:
    """Write `value` as JSON, atomically."""
    text = json.dumps(value, indent=1, sort_keys=True)
    write_atomic(path, text.encode("ascii") + b"\n", mode=mode)


def read_json(path: Path) -> Optional[Any]:
    """What stands in a JSON file; None where there is none or it can't be read."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def is_absent(path: Path) -> bool:
    """Whether nothing has this name; a link that leads nowhere is something. Raises OSError where
    that can't be told, which `exists`, `is_file` and `is_dir` take for no in some Pythons."""
    try:
        os.lstat(str(path))
    except (FileNotFoundError, NotADirectoryError):
        return True
    return False


def is_file_or_dangling(path: Path) -> bool:
    """Whether there is such a file, or a link in its place that leads nowhere, as to a disk that isn't
    mounted: it says something, though nobody knows what."""
    return path.is_file() or path.is_symlink() and not path.exists()


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    import hashlib

    total = hashlib.sha256()
    with open(str(path), "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            total.update(block)
    return total.hexdigest()


def content_sum(path: Path) -> str:
    """The same; of a link by where it leads, which is no file's sum by chance."""
    if not path.is_symlink():
        return sha256(path)
    import hashlib

    return hashlib.sha256(b"\0link to " + os.fsencode(os.readlink(str(path)))).hexdigest()


def try_lock(file: IO[Any], kind: int) -> bool:
    """Lock an open file (LOCK_EX or LOCK_SH) unless another holds it; whether it was free."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False


def try_lock_if_any(file: IO[Any]) -> bool:
    """Lock an open file alone, unless another holds it, or the file system has no locks."""
    try:
        return try_lock(file, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in LOCKLESS:
            raise
        return True


def _tell_nobody(words: str) -> None:
    """The `on_wait` of who has nobody to tell."""


#: Gets the words, where a lock is waited for longer than a moment. The client prints them, the
#: agent sends them.
on_wait: Callable[[str], None] = _tell_nobody


@contextlib.contextmanager
def locked(path: Path, holder: str = "") -> Iterator[None]:
    """Hold an exclusive lock on `path`; the kernel frees it when this process dies.

    `holder` is what keeps others waiting, such as "another push"; who that is stands in the file.
    Where the file system has no locks, nobody is kept away: what must hold there needs more.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(str(path), "a+") as file:
        if not try_lock_if_any(file):
            _await_lock(file, holder or f"the lock {path}")
        # Only for those who wait to be told: a lock holds on a full disk, too.
        with contextlib.suppress(OSError):
            file.truncate(0)
            os.write(file.fileno(), f"{user_and_host()}, process {os.getpid()}".encode())
        yield


def _await_lock(file: IO[Any], holder: str) -> None:
    deadline = time.monotonic() + SILENT
    while time.monotonic() < deadline:
        if try_lock(file, fcntl.LOCK_EX):
            return
        time.sleep(0.02)
    who = os.pread(file.fileno(), LONGEST_HOLDER, 0).decode("utf-8", "replace")
    on_wait(waiting_words(holder, who, os.fstat(file.fileno()).st_mtime))
    fcntl.flock(file, fcntl.LOCK_EX)


def waiting_words(holder: str, who: str, since: float) -> str:
    """What is told of a lock: what and who holds it, since when (seconds since 1970)."""
    by = f" of {who}" if who else ""
    return f"Waiting for {holder}{by}, since {time.strftime('%H:%M:%S', time.localtime(since))} ..."


def login_name() -> str:
    """Who is logged in here; a number where the system knows no name for it, as in many containers."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def user_and_host() -> str:
    """Who this process works for, and where, for others to read."""
    import pwd

    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = str(os.getuid())
    return f"{user}@{os.uname().nodename}"


def remove_left(folder: Path, pattern: str) -> None:
    """Remove what processes that were killed left in a folder of the toolkit's own.

    The caller holds the lock under which such things are made.
    """
    for path in folder.glob(pattern):
        # Seldom needed.
        import shutil

        with contextlib.suppress(OSError):
            shutil.rmtree(str(path)) if path.is_dir() else path.unlink()


def copy_new(source: Path, target: Path, *, mode: int) -> Path:
    """Copy `source` to `target`, complete or not at all, never over a file that is there.

    Where `target` is taken, `-2`, `-3` … is put before its suffix. Returns the path used.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = _temporary(target.parent)
    try:
        with os.fdopen(handle, "wb") as out, open(str(source), "rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                out.write(block)
        os.chmod(name, mode)
        return _link_new(name, target)
    finally:
        os.unlink(name)


def name_new(source: Path, target: Path, *, mode: int) -> Path:
    """The same with one more name of the file itself, which needs no room, where that can be."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.chmod(str(source), mode)
        return _link_new(str(source), target)
    except OSError:
        return copy_new(source, target, mode=mode)


def _link_new(source: str, target: Path) -> Path:
    number, candidate = 1, target
    while True:
        try:
            os.link(source, str(candidate))
            return candidate
        except FileExistsError:
            number += 1
            candidate = target.with_name(f"{target.stem}-{number}{target.suffix}")


def link_or_copy(source: str, target: str) -> None:
    """Have `target` share the file; a copy where the file system has no more links, or none."""
    try:
        os.link(source, target)
    except OSError:
        # Most starts of the agent copy nothing, and are faster without.
        import shutil

        shutil.copy2(source, target)


def plural(count: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def shortened(text: str, letters: int) -> str:
    """A text of so many letters at most, the last three of which tell that it is cut."""
    return text if len(text) <= letters else f"{text[: letters - 3]}..."


def without_controls(text: str) -> str:
    """A text with `?` for what isn't printable, which a terminal would obey and no variable may hold."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def size(count: int) -> str:
    """Bytes in the unit that reads best: `999 B`, `1.0 kB`, `1.2 MB`."""
    if count < 1000:
        return f"{count} B"
    amount = count / 1000
    for unit in ("kB", "MB"):
        # What would be rounded up to 1000.0 takes the next unit.
        if amount < 999.95:
            return f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


def refused_path(error: OSError) -> Optional[RemoteError]:
    """What to tell where this machine refuses a path to this account; None where the error is another
    one, or names no path."""
    if error.errno not in REFUSED or not isinstance(error.filename, (str, bytes)):
        return None
    return RemoteError(
        f"This machine refuses {os.fsdecode(error.filename)}: {error.strerror}.",
        "Is it another user's, or read-only? Make it and its folder writable (chmod u+w).",
    )


def full_disk(error: OSError) -> Optional[RemoteError]:
    """What to tell where a disk of this machine is full; None where the error is another one."""
    temporary = os.environ.get("TMPDIR", "/tmp")
    # tempfile's words, where none of the folders that it tries takes a byte.
    if "No usable temporary directory" in str(error):
        return RemoteError(
            f"This machine has no room for temporary files: the disk of {temporary} is full.",
            "Make room on it, or have TMPDIR name another folder; then repeat the command.",
        )
    if error.errno not in FULL:
        return None
    place = (
        f"the disk of {error.filename}"
        if error.filename
        else f"that of {temporary} or of {Path.cwd()}"
    )
    return RemoteError(
        f"A disk of this machine is full (or your quota is): {place}.",
        "Make room on this machine, then repeat the command.",
    )
