"""What a server has, and the secrets that it keeps for jobs."""

from __future__ import annotations

from typing import Mapping, Tuple

from remote.job.fields import (
    MESSAGE,
    NAME,
    flag,
    integer,
    line,
    list_of,
    mapping_of,
    moment,
    nested,
    text,
)
from remote.job.messages.base import Request
from remote.job.struct import Struct


class InstalledGpu(Struct):
    """A GPU of the server."""

    name: str = line()
    driver: str = line()


class PackageIndex(Struct):
    """Whether the package index (or the proxy on the way to it) takes connections."""

    host: str = line()
    reachable: bool = flag()


class ExamineAnswer(Struct):
    """Facts about a server; the client judges them. A version is empty where there is no program."""

    now: float = moment()
    host: str = line()
    user: str = line()
    python: str = line()
    rsync: str = line()
    tmux: str = line()
    uv: str = line()
    install: Mapping[str, str] = mapping_of(line(1024), 100)
    """The command that installs each program that may be missing."""
    root: str = text(NAME)
    """The target's folder, or the first one above it that is there."""
    writable: bool = flag()
    free: int = integer(0, 1 << 62)
    """Bytes of its disk."""
    home: str = text(NAME)
    home_free: int = integer(0, 1 << 62)
    """Bytes of the disk that the toolkit's cache lies on."""
    index: PackageIndex = nested(PackageIndex)
    tmp_shared: bool = flag()
    """Whether everybody may write to /tmp, and nobody remove what is another's."""
    gpus: Tuple[InstalledGpu, ...] = list_of(nested(InstalledGpu), 1024)
    gpu_fault: str = text(MESSAGE)
    logind_kills: bool = flag()
    """Whether the system ends all processes of a user who logs out."""
    lingers: bool = flag()
    """Whether this user's are spared."""


class ExamineRequest(Request[ExamineAnswer]):
    """Look at the server of a target that need not exist yet."""

    verb = "examine"
    answer = ExamineAnswer

    path: str = text(NAME)
