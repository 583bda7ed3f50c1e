"""Verbs on a target and its server: made ready, looked at, given secrets."""

from __future__ import annotations

import re
from typing import Optional, Tuple

from remote.job.fields import (
    MANY,
    NAME,
    VALUE,
    WORD,
    choice,
    flag,
    line,
    list_of,
    nested,
    optional,
    text,
)
from remote.job.messages.base import TargetRequest
from remote.job.struct import Struct


class Machine(Struct):
    """What a program that is brought to a machine must have been built for."""

    system: str = line(32)
    """As platform.system() tells it: Linux, Darwin."""
    machine: str = text(32, WORD)
    libc: str = choice("", "gnu", "musl", default="")
    """Empty where it isn't Linux."""
    python: str = line(32, default="")
    host: str = line(default="")


#: What a target is to a project: pushed to before; not there or empty; full of what others put there.
OURS, ABSENT, FOREIGN = "ours", "absent", "foreign"


class PrepareAnswer(Struct):
    """What the target is, and where."""

    state: str = choice(OURS, ABSENT, FOREIGN)
    root: str = text(NAME)
    """Its absolute path there."""
    platform: Machine = nested(Machine)
    uv: str = text(NAME, default="")
    """Where uv is there; empty where it has to be brought."""


class PrepareRequest(TargetRequest[PrepareAnswer]):
    """Make a target ready to be pushed to; with `look`, only look at it."""

    verb = "prepare"
    answer = PrepareAnswer

    path: str = text(NAME)
    project: str = text(32, re.compile(r"[0-9a-f]{32}"))
    """The id of the project's copy on this laptop."""
    take_over: bool = flag(default=False)
    """Whether a folder full of what others put there becomes this project's."""
    look: bool = flag(default=False)


class SecretAnswer(Struct):
    """The names of all secrets of the target."""

    names: Tuple[str, ...] = list_of(text(NAME), MANY)


class SecretRequest(TargetRequest[SecretAnswer]):
    """Set a secret; without a `value` forget it, without a `name` change nothing."""

    verb = "secret"
    answer = SecretAnswer

    name: str = text(NAME, default="")
    value: Optional[str] = optional(text(VALUE), default=None)
