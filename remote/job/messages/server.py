"""What a server has, and the secrets that it keeps for jobs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping, Tuple

from remote.job.fields import flag, integer, list_of, mapping_of, nested, text
from remote.job.limits import MESSAGE, NAME, line, moment
from remote.job.messages.base import Request


@dataclass(frozen=True)
class InstalledGpu:
    """A GPU of the server."""

    name: str = field(metadata=line())
    driver: str = field(metadata=line())


@dataclass(frozen=True)
class PackageIndex:
    """Whether the package index (or the proxy on the way to it) takes connections."""

    host: str = field(metadata=line())
    reachable: bool = field(metadata=flag())


@dataclass(frozen=True)
class ExamineAnswer:
    """Facts about a server; the client judges them. A version is empty where there is no program."""

    now: float = field(metadata=moment())
    host: str = field(metadata=line())
    user: str = field(metadata=line())
    python: str = field(metadata=line())
    rsync: str = field(metadata=line())
    tmux: str = field(metadata=line())
    uv: str = field(metadata=line())
    install: Mapping[str, str] = field(metadata=mapping_of(line(1024), 100))
    """The command that installs each program that may be missing."""
    root: str = field(metadata=text(NAME))
    """The target's folder, or the first one above it that is there."""
    writable: bool = field(metadata=flag())
    free: int = field(metadata=integer(0, 1 << 62))
    """Bytes of its disk."""
    home: str = field(metadata=text(NAME))
    home_free: int = field(metadata=integer(0, 1 << 62))
    """Bytes of the disk that the toolkit's cache lies on."""
    index: PackageIndex = field(metadata=nested(PackageIndex))
    tmp_shared: bool = field(metadata=flag())
    """Whether everybody may write to /tmp, and nobody remove what is another's."""
    gpus: Tuple[InstalledGpu, ...] = field(metadata=list_of(nested(InstalledGpu), 1024))
    gpu_fault: str = field(metadata=text(MESSAGE))
    logind_kills: bool = field(metadata=flag())
    """Whether the system ends all processes of a user who logs out."""
    lingers: bool = field(metadata=flag())
    """Whether this user's are spared."""


@dataclass(frozen=True)
class ExamineRequest(Request[ExamineAnswer]):
    """Look at the server of a target that need not exist yet."""

    verb = "examine"
    answer = ExamineAnswer

    path: str = field(metadata=text(NAME))
