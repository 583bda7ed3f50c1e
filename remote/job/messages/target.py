"""Verbs on a target and its server: made ready, looked at, given secrets."""

from __future__ import annotations

import re
from typing import Mapping, Optional, Tuple

from remote.job import fields
from remote.job.fields import MANY, MESSAGE, NAME, VALUE, VERY_MANY, WORD
from remote.job.messages.base import SAME_TWICE, Request, TargetRequest
from remote.job.struct import Struct
from remote.job.tree import COPY


class Machine(Struct):
    """What a program that is brought to a machine must have been built for."""

    system: str = fields.line(32)
    """As platform.system() tells it: Linux, Darwin."""
    machine: str = fields.text(32, WORD)
    libc: str = fields.choice("", "gnu", "musl", default="")
    """Empty where it isn't Linux."""


#: The form of a project's id, which is random.
PROJECT = re.compile(r"[0-9a-f]{32}")

#: What a target is to a project: pushed to before; not there or empty; full of what others put there.
OURS, ABSENT, FOREIGN = "ours", "absent", "foreign"


class PrepareAnswer(Struct):
    """What the target is, and where."""

    state: str = fields.choice(OURS, ABSENT, FOREIGN)
    root: str = fields.text(NAME)
    """Its absolute path there."""
    fresh: bool = fields.flag(default=False)
    """Whether nothing was there, so that a push has nothing to keep."""


class PrepareRequest(
    TargetRequest[PrepareAnswer], verb="prepare", answer=PrepareAnswer, repeat=SAME_TWICE
):
    """Make a target ready to be pushed to; with `look`, only look at it."""

    path: str = fields.text(NAME)
    project: str = fields.text(32, PROJECT)
    """The id of the project's copy on this laptop."""
    take_over: bool = fields.flag(default=False)
    """Whether a folder full of what others put there becomes this project's."""
    look: bool = fields.flag(default=False)
    links: Mapping[str, str] = fields.mapping_of(
        fields.text(NAME), MANY, key=fields.path(), default={}
    )
    """Paths of the target, and where each of them is to lead."""
    launcher: str = fields.text(64, WORD, default="")
    """What is to start jobs there; empty is what the server has."""


class ClearAnswer(Struct):
    """It is done, as far as it could be."""


class ClearRequest(TargetRequest[ClearAnswer], verb="clear", answer=ClearAnswer):
    """Move what a push can't replace into the backup folder of that name; `links` alone, or all."""

    paths: Tuple[str, ...] = fields.names()
    backup: str = fields.text(64, re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{4}(-[0-9])?"))
    links: bool = fields.flag(default=False)


#: Bytes that a push leaves free on a disk. One that sends less isn't weighed.
SPARE = 16 << 20


class Shortage(Struct):
    """A disk on which something doesn't fit: a folder on it, the bytes it takes, and those free."""

    folder: str = fields.text(NAME)
    needed: int = fields.integer(0, 1 << 62)
    free: int = fields.integer(0, 1 << 62)


class RoomAnswer(Struct):
    """Whether there is room. `together` says that all folders are on the disk of `.remote`."""

    short: Optional[Shortage] = fields.optional(fields.nested(Shortage), default=None)
    together: bool = fields.flag(default=True)


class RoomRequest(TargetRequest[RoomAnswer], verb="room", answer=RoomAnswer, repeat=SAME_TWICE):
    """Say whether these bytes fit into these folders; with `clear`, after what earlier pushes by this
    copy of the project left unfinished was removed. While a push by it is `running`, what lies there
    is that one's and stays."""

    project: str = fields.text(32, PROJECT)
    needs: Mapping[str, int] = fields.mapping_of(
        fields.integer(0, 1 << 62), VERY_MANY, key=fields.text(NAME), default={}
    )
    clear: bool = fields.flag(default=False)
    running: bool = fields.flag(default=False)


class TreeAnswer(Struct):
    """Whether a push was ended."""

    ended: bool = fields.flag()


class TreeRequest(TargetRequest[TreeAnswer], verb="tree", answer=TreeAnswer):
    """End the push that holds the lock on the target's tree where nothing comes from it any more."""

    copy: str = fields.text(COPY, re.compile(r"[0-9a-f]{16}"))
    """How the ids of pushes of the asking copy of the project begin."""


class SecretAnswer(Struct):
    """The names of all secrets of the target."""

    names: Tuple[str, ...] = fields.list_of(fields.text(NAME), MANY)


class SecretRequest(
    TargetRequest[SecretAnswer], verb="secret", answer=SecretAnswer, repeat=SAME_TWICE
):
    """Set a secret; without a `value` forget it, without a `name` change nothing."""

    name: str = fields.text(NAME, default="")
    value: Optional[str] = fields.optional(fields.text(VALUE), default=None)


class ExamineAnswer(Struct):
    """Facts about a server; the client judges them. A version is empty where there is no program."""

    now: float = fields.moment()
    host: str = fields.line()
    user: str = fields.line()
    python: str = fields.line()
    rsync: str = fields.line()
    tmux: str = fields.line()
    uv: str = fields.line()
    root: str = fields.text(NAME)
    """The target's folder, or the first one above it that is there."""
    writable: bool = fields.flag()
    free: int = fields.integer(0, 1 << 62)
    """Bytes of its disk."""
    home: str = fields.text(NAME)
    home_free: int = fields.integer(0, 1 << 62)
    """Bytes of the disk that the toolkit's cache lies on."""
    index: str = fields.line()
    """The host of the package index, or of the proxy on the way to it."""
    index_reachable: bool = fields.flag()
    """Whether that takes connections."""
    tmp_shared: bool = fields.flag()
    """Whether everybody may write to /tmp, and nobody remove what is another's."""
    gpus: Tuple[str, ...] = fields.list_of(fields.line(), 1024)
    """The models of the cards."""
    driver: str = fields.line()
    gpu_fault: str = fields.text(MESSAGE)
    logind_kills: bool = fields.flag()
    """Whether the system ends all processes of a user who logs out."""
    lingers: bool = fields.flag()
    """Whether this user's are spared."""
    mlflow: str = fields.line(default="")
    """The version in the target's environment; empty where none is made."""
    revision: str = fields.line(default="")
    """Of the schema of the target's store; empty where there is none."""
    is_refused: bool = fields.flag(default=False)
    """Whether that MLflow doesn't open that store."""
    store_fault: str = fields.text(MESSAGE, default="")
    """Why that store, which is there, can't be read."""


class ExamineRequest(Request[ExamineAnswer], verb="examine", answer=ExamineAnswer):
    """Look at the server of a target that need not exist yet."""

    path: str = fields.text(NAME)
    python: str = fields.text(NAME, default="")
    """The Python that the project asks for."""
