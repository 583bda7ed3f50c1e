"""Room for what is pushed and pulled: a push that turns out to be large is weighed before it goes on."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from remote.errors import RemoteError, TransferError
from remote.folders import statuses
from remote.job.messages.target import SPARE, RoomAnswer, RoomRequest
from remote.output import size
from remote.session import TargetSession, project_id
from remote.transport import rsync
from remote.transport.rsync_tally import Tally


class LargePush(Exception):
    """What rsync has begun to send is large enough to ask for room first."""


@dataclass
class Scales:
    """Adds up what rsync names before it sends it, and raises LargePush where that is much and it
    isn't sure that it `fits`.

    So a push takes no look of its own where it is of little, or where room is plenty. `folder` is
    the one that the names count from.
    """

    folder: Path
    fits: Callable[[], bool] = lambda: False
    bytes: int = 0
    count: int = 0
    is_weighed: bool = False

    def weigh(self, tally: Tally) -> None:
        """Take what is new in `tally`."""
        if self.is_weighed:
            return
        names, self.count = tally.sent[self.count :], len(tally.sent)
        self.bytes += sum(disk_bytes(status) for _, status in statuses(self.folder, names))
        if self.bytes > SPARE:
            if not self.fits():
                raise LargePush
            self.is_weighed = True


def disk_bytes(status: os.stat_result) -> int:
    """What a file takes on a disk that knows holes."""
    # Of what was just written, some file systems don't know the blocks yet.
    return min(status.st_size, status.st_blocks * 512 or status.st_size)


def bytes_below(root: Path, left: Collection[str]) -> Counter[str]:
    """What all files below `root` take, by folder, but for those in the folders `left`."""
    needs, folders = Counter[str](), [""]
    while folders:
        folder = folders.pop()
        place = _place(folder)
        with contextlib.suppress(OSError), os.scandir(root / folder) as entries:
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    needs[place] += disk_bytes(entry.stat(follow_symlinks=False))
                elif folder + entry.name not in left:
                    folders.append(f"{folder}{entry.name}/")
    return needs


def _place(folder: str) -> str:
    """Where room for it is asked for: deeper down, other disks are rare and files many."""
    return "/".join(folder.split("/")[:-1][:4])


def fits_whole(server: TargetSession, left: Collection[str]) -> bool:
    """Whether the disk of the target's `.remote` has room for the whole project, though it may send
    little of it. rsync may run meanwhile."""
    needs = bytes_below(server.project.root, left)
    answer = _room_for(server, needs, running=True)
    return answer.together and not answer.short


def ask_for_room(server: TargetSession, names: Iterable[str]) -> bool:
    """Whether all these files go to the disk of the target's `.remote`; raises TransferError where
    they don't fit."""
    needs: Counter[str] = Counter()
    for name, status in statuses(server.project.root, names):
        needs[_place(name)] += disk_bytes(status)
    if needs.total() <= SPARE:
        return True
    answer = _room_for(server, needs)
    if answer.short:
        short = answer.short
        raise TransferError(
            f"{size(short.needed)} don't fit on {server.target}:"
            f" {size(short.free)} are free in {short.folder}. Nothing was changed.",
            "Make room (inv remote-prune), or exclude files in .rsyncignore.",
        )
    return answer.together


def _room_for(
    server: TargetSession, needs: Mapping[str, int], *, running: bool = False
) -> RoomAnswer:
    project = project_id(server.project)
    request = RoomRequest(key=server.key, project=project, needs=dict(needs), running=running)
    return server.agent.call(request)


def check_room(folder: Path, count: int, what: str) -> None:
    """Raise TransferError where the disk of `folder` here has no room for so many bytes."""
    free = shutil.disk_usage(folder).free
    if count > free:
        raise TransferError(
            f"The server announces {size(count)} {what}, and {size(free)} are free on this machine.",
            "Make room on this machine, then repeat the command.",
        )


def temporary_options(scratch: Path, *destinations: Path) -> list[str]:
    """rsync's options to keep what it brings in `scratch` until it is whole.

    None where a destination is on another disk, which has the room that large files may need.
    """
    home = scratch.stat().st_dev
    existing = (next(filter(Path.exists, (path, *path.parents))) for path in destinations)
    same = all(path.stat().st_dev == home for path in existing)
    return [f"--temp-dir={scratch.absolute()}"] if same else []


def clear_unfinished(server: TargetSession) -> None:
    """Remove what cut pushes left on the target."""
    server.agent.call(RoomRequest(key=server.key, project=project_id(server.project), clear=True))


@contextlib.contextmanager
def finishing(server: TargetSession, dry_run: bool) -> Iterator[None]:
    """Note that a push goes on, and clear what it or one before it has left for nobody."""
    was_cut = server.facts.cut
    if not dry_run:
        server.remember(cut=True)
    try:
        yield
    except rsync.FullDisk:
        # Others on that disk need the room more than a next push needs what came of this one.
        with contextlib.suppress(RemoteError):
            clear_unfinished(server)
        raise
    if not dry_run:
        if was_cut:
            clear_unfinished(server)
        server.remember(cut=False)
