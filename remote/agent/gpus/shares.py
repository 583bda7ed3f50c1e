"""Parts of a card, which several jobs of one user have at once: `--gpus 0.5`.

The first of them leases the whole card, as a job for all of it does: so everybody else finds it
taken, and so do earlier versions of the toolkit. Whoever comes later gets the very descriptors of
that lease from one that has them (unix(7), SCM_RIGHTS): the kernel frees it when the last of them is
gone, in whatever order they go. How much of the card each has are names of its parts.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING, List, NamedTuple, Optional

from remote.agent.gpus import kernel_names, lock_files
from remote.agent.gpus.lease import Lease, lease_file, part_file
from remote.job.messages.gpus import Gpu

if TYPE_CHECKING:
    from socket import socket

#: How many parts a card has: halves, thirds, quarters, fifths, sixths and tenths are whole ones.
PARTS = 60

#: Seconds between two looks whether another job wants to share.
LOOK = 0.1

#: `struct ucred` of unix(7): pid, uid, gid.
_PEER = struct.Struct("3i")


class Whole(NamedTuple):
    """What the lease of a whole card is made of."""

    name: socket
    file: io.FileIO


class SharedLease(Lease):
    """A part of a card; lets other jobs of this user have others."""

    look = LOOK

    def __init__(self, folder: Path, gpu: Gpu, whole: Whole, own: io.FileIO, parts: List[socket]):
        self._card, self._part = lease_file(folder, gpu.uuid), Path(os.fsdecode(own.name))
        files = {self._card: whole.file, self._part: own}
        super().__init__([gpu], files, [whole.name, *parts])
        self._door = whole.name
        # Where the system knows no such names, the card isn't shared.
        with contextlib.suppress(OSError):
            self._door.setblocking(False)
            self._door.listen(PARTS)

    def release(self) -> None:
        """Let others have the part, and the card where it was the last one."""
        lock_files.delete(self._part)
        super().release()

    def keep_fresh(self) -> None:
        """Keep what there is, and let in who waits to share."""
        self._let_in()
        super().keep_fresh()

    def _let_in(self) -> None:
        with self._changing, contextlib.suppress(OSError):
            while not self._released.is_set():
                visitor, _ = self._door.accept()
                with visitor:
                    if _user_of(visitor) == os.geteuid():
                        _send(visitor, Whole(self._door, self._files[self._card]))


def share(folder: Path, gpu: Gpu, amount: float) -> Optional[Lease]:
    """Lock so much of a card, below 1; None where others have it. Raises RefusedError."""
    with contextlib.ExitStack() as stack:
        parts = [stack.enter_context(part) for part in _take_parts(folder, gpu.uuid, amount)]
        if not parts:
            return None
        whole = _lease_whole(lease_file(folder, gpu.uuid))
        if whole is None:
            return None
        stack.enter_context(whole.name)
        stack.enter_context(whole.file)
        own = lock_files.take(part_file(folder, gpu.uuid, amount))
        if own is None:
            return None
        stack.enter_context(own)
        granted = SharedLease(folder, gpu, whole, own, parts)
        stack.pop_all()
    return granted


def is_left(folder: Path, uuid: str, amount: float) -> bool:
    """Whether so much of a card that is shared is nobody's."""
    parts = _take_parts(folder, uuid, amount)
    for part in parts:
        part.close()
    return bool(parts)


def _take_parts(folder: Path, uuid: str, amount: float) -> List[socket]:
    """The names of so many free parts of a card, or none of them."""
    # The sum of what three jobs ask that want 0.33 is no more than one card.
    wanted, taken = math.ceil(amount * PARTS - 0.01), []
    for number in range(PARTS):
        name = kernel_names.take(folder / f"remote-gpu-{uuid}.part-{number}")
        if name is not None:
            taken.append(name)
        if len(taken) == wanted:
            return taken
    for name in taken:
        name.close()
    return []


def _lease_whole(path: Path) -> Optional[Whole]:
    """The lease of the card: taken where nobody has it, else had from one that shares it."""
    name = kernel_names.take(path)
    if name is None:
        return _join(path)
    file = lock_files.take(path)
    if file is None:
        name.close()
        return None
    return Whole(name, file)


def _join(path: Path) -> Optional[Whole]:
    host = kernel_names.connect(path)
    if host is None:
        return None
    # One that ends at this moment sends nothing.
    with host, contextlib.suppress(OSError):
        if _user_of(host) == os.geteuid():
            return _receive(host)
    return None


def _user_of(connection: socket) -> int:
    """The user at the other end, which the kernel vouches for."""
    from socket import SO_PEERCRED, SOL_SOCKET

    return int(_PEER.unpack(connection.getsockopt(SOL_SOCKET, SO_PEERCRED, _PEER.size))[1])


def _send(visitor: socket, whole: Whole) -> None:
    from array import array
    from socket import SCM_RIGHTS, SOL_SOCKET

    numbers = array("i", [whole.name.fileno(), whole.file.fileno()])
    visitor.sendmsg([b"\0"], [(SOL_SOCKET, SCM_RIGHTS, numbers)])


def _receive(host: socket) -> Optional[Whole]:
    from array import array
    from socket import CMSG_SPACE, MSG_CMSG_CLOEXEC, socket

    numbers = array("i")
    _, sent, *_ = host.recvmsg(1, CMSG_SPACE(2 * numbers.itemsize), MSG_CMSG_CLOEXEC)
    for _, _, data in sent:
        numbers.frombytes(data)
    if len(numbers) != 2:
        return None
    return Whole(socket(fileno=numbers[0]), io.FileIO(numbers[1], "rb"))
