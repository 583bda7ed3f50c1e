"""One `ssh` that uses the shared login: how it is called, and what it says of itself."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from typing import Any

from remote.transport.ssh import Ssh


def ssh_argv(ssh: Ssh, *flags: str, log: str = os.devnull) -> list[str]:
    """argv of an ssh that uses the master; a command may follow.

    The log's level lets an exit code of the command's be told from one of ssh's. This ssh never
    becomes a master itself: one that stays behind would hold our streams open.
    """
    own = ["-E", log, "-o", "LogLevel=DEBUG2", "-o", "ControlMaster=no"]
    return ["ssh", *flags, *own, *ssh.options(), "--", ssh.login]


class Log:
    """What one ssh says of itself, apart from what the command says."""

    def __init__(self) -> None:
        self._file = tempfile.NamedTemporaryFile(prefix="remote-ssh-")

    @property
    def path(self) -> str:
        """Where ssh is to write it."""
        return self._file.name

    def close(self) -> None:
        """Remove it."""
        self._file.close()

    @property
    def text(self) -> str:
        self._file.seek(0)
        return self._file.read().decode("utf-8", "replace")

    @property
    def tells_exit(self) -> bool:
        """Whether the server told how the command ended, to us or to a master."""
        return bool(re.search(r"Received exit status from master|rtype exit-", self.text))

    @property
    def words(self) -> str:
        """The complaints in it."""
        reports = r"(debug\d: |OpenSSH_|Authenticat|Transferred: |Bytes per second: )"
        lines = [line.strip() for line in self.text.splitlines()]
        return "\n".join(line for line in lines if line and not re.match(reports, line))


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
