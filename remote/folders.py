"""Folders with all that is below them: what is in them, in bytes or in a word, and moving things aside."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator, List, Optional, Tuple


def links_in(top: Path, left: Iterable[str] = ()) -> Iterator[Tuple[str, str]]:
    """The links below a folder and where each leads, but for those in the folders `left`."""
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            entries = list(os.scandir(str(top / folder)))
        except OSError:
            continue
        for entry in entries:
            name = folder + entry.name
            if entry.is_symlink():
                yield name, os.readlink(entry.path)
            elif entry.is_dir(follow_symlinks=False) and name not in left:
                folders.append(f"{name}/")


def statuses(
    top: Path, names: Iterable[str], on_error: Optional[Callable[[OSError], None]] = None
) -> Iterator[Tuple[str, os.stat_result]]:
    """Those of the paths below a folder that are there, each with its own status, not a link's target's;
    what can't be looked at is passed over, but for `on_error`."""
    for name in names:
        try:
            # A Path for each of many files would take longer than the look.
            yield name, os.lstat(f"{top}/{name}")
        except OSError as error:
            if on_error:
                on_error(error)
        except ValueError:
            continue


def leads_out(name: str, target: str) -> bool:
    """Whether a link in a folder leads out of it, as rsync sees that (rsync(1), --safe-links)."""
    there = os.path.normpath(str(Path(name).parent / target))
    return os.path.isabs(target) or there.split("/")[0] == ".."


def move_aside(root: Path, top: Path, names: Iterable[str], backup: Path) -> None:
    """Move what stands in the way of a transfer into `backup`, where it can be moved.

    Only what lies in the folder `top` below `root`, and not behind a link that leads out of it:
    the names may be another machine's.
    """
    for name in names:
        path, folder = root / name, (root / name).parent
        inside = os.path.realpath(str(top)) in (os.path.realpath(str(folder)), *_parents(folder))
        if not inside or path.name in ("", "..") or not os.path.lexists(str(path)):
            continue
        with contextlib.suppress(OSError), _writable(folder), _writable(path):
            (backup / name).parent.mkdir(parents=True, exist_ok=True)
            os.rename(str(path), str(backup / name))


def _parents(folder: Path) -> Iterator[str]:
    return map(str, Path(os.path.realpath(str(folder))).parents)


@contextlib.contextmanager
def _writable(folder: Path) -> Iterator[None]:
    """Have a folder be writable meanwhile: data is read-only while jobs run."""
    mode = os.lstat(str(folder)).st_mode
    closed = stat.S_ISDIR(mode) and not mode & stat.S_IWUSR
    if closed:
        os.chmod(str(folder), stat.S_IMODE(mode) | stat.S_IWUSR)
    try:
        yield
    finally:
        if closed and folder.is_dir():
            os.chmod(str(folder), stat.S_IMODE(mode))


def bytes_in(folder: Path) -> int:
    """The bytes that a folder holds alone: files that others share by a link stay anyway."""
    total = 0
    for place, _, names in os.walk(str(folder)):
        for name in names:
            with contextlib.suppress(OSError):
                status = os.lstat(os.path.join(place, name))
                total += status.st_blocks * 512 if status.st_nlink == 1 else 0
    return total


def delete(top: Path) -> str:
    """Remove a folder with all that can be removed of it; what stays, and why, in words, as where a
    container wrote files as root. Others may be removing it, too."""
    # Most who import this remove nothing.
    import shutil

    obstacles: List[str] = []

    def note(function: Any, path: str, error: Any) -> None:
        if not isinstance(error[1], FileNotFoundError):
            obstacles.append(f"{path}: {getattr(error[1], 'strerror', error[1])}")

    shutil.rmtree(str(top), onerror=note)
    if obstacles:
        obstacles.clear()
        _make_writable(top)
        shutil.rmtree(str(top), onerror=note)
    return obstacles[0] if obstacles else ""


def _make_writable(top: Path) -> None:
    """Folders that were pushed read-only are ours all the same, and so are those that nobody may read."""
    with contextlib.suppress(OSError):
        os.chmod(str(top), 0o700)
    for place, folders, _ in os.walk(str(top)):
        for path in (Path(place, name) for name in folders):
            with contextlib.suppress(OSError):
                if not path.is_symlink():
                    os.chmod(str(path), 0o700)


def mark_of(path: Path) -> str:
    """A word that changes with what rsync compares of all below a folder, or of a file: names, sizes,
    times, where links lead. Empty where not all of it can be looked at."""
    import hashlib

    total, folders = hashlib.blake2b(digest_size=16), [""]
    try:
        if not path.is_dir():
            status = os.stat(str(path))
            return f"{status.st_size} {status.st_mtime_ns}" if stat.S_ISREG(status.st_mode) else ""
        while folders:
            folder = folders.pop()
            with os.scandir(str(path / folder)) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    name = folder + entry.name
                    total.update(os.fsencode(f"{name}\0{_state(entry)}\0"))
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(f"{name}/")
    except OSError:
        return ""
    return total.hexdigest()


def _state(entry: os.DirEntry[str]) -> str:
    """Not a folder's time: rsync leaves it out, and each file that comes changes it."""
    if entry.is_symlink():
        return f"link {os.readlink(entry.path)}"
    if entry.is_dir(follow_symlinks=False):
        return "folder"
    status = entry.stat(follow_symlinks=False)
    return f"{stat.S_IFMT(status.st_mode)} {status.st_size} {status.st_mtime_ns}"
