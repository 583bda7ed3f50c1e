"""Verbs on a target and its server: made ready, looked at, given secrets."""

from __future__ import annotations

import re
from typing import Mapping, Optional, Tuple

from remote.job.fields import (
    MANY,
    MESSAGE,
    NAME,
    VALUE,
    WORD,
    choice,
    flag,
    integer,
    line,
    list_of,
    mapping_of,
    moment,
    nested,
    optional,
    text,
)
from remote.job.messages.base import Request, TargetRequest
from remote.job.struct import Struct


class Machine(Struct):
    """What a program that is brought to a machine must have been built for."""

    system: str = line(32)
    """As platform.system() tells it: Linux, Darwin."""
    machine: str = text(32, WORD)
    libc: str = choice("", "gnu", "musl", default="")
    """Empty where it isn't Linux."""


#: What a target is to a project: pushed to before; not there or empty; full of what others put there.
OURS, ABSENT, FOREIGN = "ours", "absent", "foreign"


class PrepareAnswer(Struct):
    """What the target is, and where."""

    state: str = choice(OURS, ABSENT, FOREIGN)
    root: str = text(NAME)
    """Its absolute path there."""


class PrepareRequest(TargetRequest[PrepareAnswer], verb="prepare", answer=PrepareAnswer):
    """Make a target ready to be pushed to; with `look`, only look at it."""

    path: str = text(NAME)
    project: str = text(32, re.compile(r"[0-9a-f]{32}"))
    """The id of the project's copy on this laptop."""
    take_over: bool = flag(default=False)
    """Whether a folder full of what others put there becomes this project's."""
    look: bool = flag(default=False)


class SecretAnswer(Struct):
    """The names of all secrets of the target."""

    names: Tuple[str, ...] = list_of(text(NAME), MANY)


class SecretRequest(TargetRequest[SecretAnswer], verb="secret", answer=SecretAnswer):
    """Set a secret; without a `value` forget it, without a `name` change nothing."""

    name: str = text(NAME, default="")
    value: Optional[str] = optional(text(VALUE), default=None)


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


class ExamineRequest(Request[ExamineAnswer], verb="examine", answer=ExamineAnswer):
    """Look at the server of a target that need not exist yet."""

    path: str = text(NAME)
