"""What a transfer into a folder has brought against the rules, taken away again.

rsync keeps these rules, too, but one that is old (before 3.2.5, or a Mac's) believes the sender, and
no pattern of its own names all spellings that a file system takes for the same.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from remote.transport.acting_files import name_acts
from remote.transport.rsync_tally import Tally

#: What a path is: by inode, size and time of change, of a link also where it leads.
State = tuple[object, ...]


class _Entry(NamedTuple):
    name: str
    state: State
    target: str | None
    """Where a link leads."""
    acts: bool


@dataclass(frozen=True)
class Arrivals:
    """A folder as it was before a transfer: `links` are those of its user's in it that lead to
    another disk, `unfit` what a server could not have brought."""

    top: Path
    links: tuple[str, ...]
    unfit: dict[str, State]

    @classmethod
    def of(cls, top: Path) -> Arrivals:
        """The folder as it is now; it need not exist."""
        entries = list(_entries(top))
        links = [each.name for each in entries if each.target and os.path.isabs(each.target)]
        # A server can't make an absolute one; files' are replaced like files.
        folders = tuple(name for name in links if not (top / name).is_file())
        return cls(top, folders, _unfit(top, entries, folders))

    def undo(self, tally: Tally, backup: Path, kept: Collection[str] = ()) -> None:
        """Move away what came and acts by being there, but for `kept`, and links that lead out; `tally`
        gets their names. What they replaced comes back from `backup`.

        It goes there by a name that doesn't act: the user may have made it meanwhile.
        """
        entries = list(_entries(self.top))
        unfit = _unfit(self.top, entries, self.links)
        kept = {str(path) for name in kept for path in (Path(name), *Path(name).parents)}
        for each in entries:
            name = each.name
            is_kept = name in kept and each.target is None
            if unfit.get(name, ()) == self.unfit.get(name, ()) or is_kept:
                continue
            path = self.top / name
            # A folder above it may have gone already.
            if not os.path.lexists(path):
                continue
            aside = backup / f"{name}.left"
            aside.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(path, aside)
            if each.acts:
                tally.acting.append(name)
            else:
                tally.left.append(f"{name} -> {each.target}")
            with contextlib.suppress(OSError):
                os.replace(backup / name, path)


def _unfit(top: Path, entries: list[_Entry], followed: Collection[str]) -> dict[str, State]:
    # Of a thousand runs, few have a link.
    is_needed = any(each.target for each in entries)
    ways = (top, *(top / name for name in followed)) if is_needed else ()
    roots = [os.path.realpath(way) for way in ways]
    return {
        each.name: each.state
        for each in entries
        if each.acts or each.target is not None and not _is_in(top / each.name, roots)
    }


def _is_in(path: Path, roots: list[str]) -> bool:
    real = os.path.realpath(path)
    return any(real == root or real.startswith(f"{root}/") for root in roots)


def _entries(top: Path) -> Iterator[_Entry]:
    """The links in a folder and what acts in it, a folder before what is in it."""
    folders = [("", False)]
    while folders:
        folder, inside = folders.pop()
        above = folder.rstrip("/").rpartition("/")[2]
        try:
            with os.scandir(top / folder) as found:
                entries = list(found)
        except OSError:
            continue
        for entry in entries:
            name, is_folder = folder + entry.name, entry.is_dir(follow_symlinks=False)
            does = inside or name_acts(entry.name, above, is_folder=is_folder)
            if is_folder:
                folders.append((f"{name}/", does))
            if does or entry.is_symlink():
                yield _entry(name, entry, does)


def _entry(name: str, entry: os.DirEntry[str], does: bool) -> _Entry:
    # What is in a folder is looked at by itself.
    if entry.is_dir(follow_symlinks=False):
        return _Entry(name, ("folder",), None, does)
    target = os.readlink(entry.path) if entry.is_symlink() else None
    status = entry.stat(follow_symlinks=False)
    return _Entry(name, (status.st_ino, status.st_size, status.st_mtime_ns, target), target, does)
