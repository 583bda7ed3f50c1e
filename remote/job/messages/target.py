"""Verbs on a target and its server: made ready, looked at, given secrets."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Mapping, Optional, Tuple

from remote.job.fields import choice, flag, integer, list_of, mapping_of, nested, optional, text
from remote.job.limits import MANY, MESSAGE, NAME, VALUE, WORD, line, moment
from remote.job.messages.base import Request, target_key


@dataclass(frozen=True)
class Machine:
    """What a program that is brought to a machine must have been built for."""

    system: str = field(metadata=line(32))
    """As platform.system() tells it: Linux, Darwin."""
    machine: str = field(metadata=text(32, WORD))
    libc: str = field(default="", metadata=choice("", "gnu", "musl"))
    """Empty where it isn't Linux."""
    python: str = field(default="", metadata=line(32))
    host: str = field(default="", metadata=line())


#: What a target is to a project: pushed to before; not there or empty; full of what others put there.
OURS, ABSENT, FOREIGN = "ours", "absent", "foreign"


@dataclass(frozen=True)
class PrepareAnswer:
    """What the target is, and where."""

    state: str = field(metadata=choice(OURS, ABSENT, FOREIGN))
    root: str = field(metadata=text(NAME))
    """Its absolute path there."""
    platform: Machine = field(metadata=nested(Machine))
    uv: str = field(default="", metadata=text(NAME))
    """Where uv is there; empty where it has to be brought."""


@dataclass(frozen=True)
class PrepareRequest(Request[PrepareAnswer]):
    """Make a target ready to be pushed to; with `look`, only look at it."""

    verb = "prepare"
    answer = PrepareAnswer

    path: str = field(metadata=text(NAME))
    key: str = field(metadata=target_key())
    project: str = field(metadata=text(32, re.compile(r"[0-9a-f]{32}")))
    """The id of the project's copy on this laptop."""
    take_over: bool = field(default=False, metadata=flag())
    """Whether a folder full of what others put there becomes this project's."""
    look: bool = field(default=False, metadata=flag())


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


@dataclass(frozen=True)
class SecretAnswer:
    """The names of all secrets of the target."""

    names: Tuple[str, ...] = field(metadata=list_of(text(NAME), MANY))


@dataclass(frozen=True)
class SecretRequest(Request[SecretAnswer]):
    """Set a secret; without a `value` forget it, without a `name` change nothing."""

    verb = "secret"
    answer = SecretAnswer

    key: str = field(metadata=target_key())
    name: str = field(default="", metadata=text(NAME))
    value: Optional[str] = field(default=None, metadata=optional(text(VALUE)))
