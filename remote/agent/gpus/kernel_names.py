"""The lock on a path that lies in no folder, so that nobody can delete it.

A Unix socket in Linux's abstract name space (unix(7)) has a name and no file: the kernel gives the
name to one process of the machine, whatever its user, and frees it when that process dies. Every
folder that all users may write to is cleaned by somebody: /tmp and /var/tmp by age and by hand,
/dev/shm by logind at a user's logout (logind.conf(5), RemoveIPC), and /run/lock is root's on RHEL.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from socket import socket

#: How names begin, and how the kernel lists them (proc_net(5), /proc/net/unix).
PREFIX = "remote-gpu-"
SOCKETS, LISTED = Path("/proc/net/unix"), b"@remote-gpu-"

#: How long one who listens on a name may take to answer, in seconds.
PATIENCE = 2.0


def take(path: Path) -> Optional[socket]:
    """The name that stands for `path`, until what comes back is closed; None where another process
    has it. Where the system has no such names, what comes back stands for nothing."""
    # Here and below, since most who import this lease nothing, and start faster without.
    from socket import AF_UNIX, socket

    name = socket(AF_UNIX)
    try:
        name.bind(_name_of(path))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            name.close()
            return None
    return name


def connect(path: Path) -> Optional[socket]:
    """A connection to whoever has the name and listens on it; None where nobody does."""
    from socket import AF_UNIX, socket

    connection = socket(AF_UNIX)
    try:
        connection.settimeout(PATIENCE)
        connection.connect(_name_of(path))
    except OSError:
        connection.close()
        return None
    return connection


def is_taken(path: Path) -> bool:
    """Whether a living process has the name."""
    if not _are_any_taken():
        return False
    name = take(path)
    if name is not None:
        name.close()
    return name is None


def _are_any_taken() -> bool:
    """Whether any name like these is; a look at idle cards is faster without sockets and digests."""
    try:
        return LISTED in SOCKETS.read_bytes()
    except OSError:
        return True


def _name_of(path: Path) -> str:
    """A name is 107 bytes at most, which a path may exceed."""
    import hashlib

    place = os.path.join(os.path.realpath(str(path.parent)), path.name)
    return f"\0{PREFIX}" + hashlib.sha256(os.fsencode(place)).hexdigest()
