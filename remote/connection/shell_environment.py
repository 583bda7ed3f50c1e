"""Handing an environment to a command, whichever shell the account there has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any


def with_environment(command: str | None, env: Mapping[str, Any]) -> str:
    """A command line that runs `command` (None: a login shell) in the login shell, with `env`.

    sh, csh and fish each quote in their own way, so that all that reaches the login shell is
    single-quoted and made of letters that mean the same to all of them. sh and its printf put the
    values together, and hand the command to the login shell as its argument, unread.
    """
    words = [f"{_name(name)}={value}" for name, value in env.items()]
    settings = " ".join(f'"${{{number}%x}}"' for number in range(1, len(words) + 1))
    how = "-l"
    if command is not None:
        words.append(command)
        how = f'-c "${{{len(words)}%x}}"'
    given = " ".join(f'"$(printf %b "{_octal(word)}x")"' for word in words)
    return f"exec sh -c 'set -- {given}; exec env {settings} \"$SHELL\" {how}'"


def _name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError(f"{name!r} can't be the name of an environment variable")
    return name


def _octal(text: str) -> str:
    """`text` for printf's %b: what isn't plain is \\0 and three octal digits."""
    data = text.encode("utf-8", "surrogateescape")
    if b"\0" in data:
        raise ValueError(f"{text!r} holds a NUL, which no command and no environment can")
    return re.sub(rb"[^A-Za-z0-9 _./:=,+-]", lambda it: b"\\0%03o" % it[0][0], data).decode("ascii")
