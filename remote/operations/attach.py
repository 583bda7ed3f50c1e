"""How to open a job's tmux session in a terminal here."""

from __future__ import annotations

import re

from remote.errors import ConfigError
from remote.session import Server


def attach_argv(server: Server, job: str) -> list[str]:
    """argv that shows the session of `job` (a whole id); raises ConfigError."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+", server.socket):
        raise ConfigError(f"REMOTE_TMUX_SOCKET {server.socket!r} is no plain name.")
    tmux = ["tmux", "-L", server.socket, "attach-session", "-t", f"={job}"]
    if server.ssh is None:
        return tmux
    # An id and a socket hold plain letters only, so that any login shell reads them alike; csh
    # alone takes the `=` for its own, inside quotes it does not.
    command = " ".join([*tmux[:-1], f"'={job}'"])
    # ssh obeys the first setting of a name that it finds.
    return ["ssh", "-o", "RequestTTY=force", *server.ssh.command(command)[1:]]
