"""One `ssh` that uses the shared login: how it is called, and what it says of itself."""

from __future__ import annotations

import os
import re
import tempfile

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
