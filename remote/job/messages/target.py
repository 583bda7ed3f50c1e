"""Verbs on a target and its server: made ready, looked at, given secrets."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Optional, Tuple

from remote.job.fields import choice, flag, list_of, nested, optional, text
from remote.job.limits import MANY, NAME, VALUE, WORD, line
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
