"""A `fabric.Connection` whose wire is the system's OpenSSH: for tunnels, and for a user's own tasks.

Commands, files and forwarded ports share the login that rsync uses (see `remote.transport.ssh`). Of
paramiko only its SFTP client works here, on the standard streams of `ssh -s`; its transport, its
reading of ssh_config and its way with host keys never do. Importing fabric takes 0.4 s: commands
import this package where they open a tunnel, and not before.
"""

from __future__ import annotations

from remote.config import find_project
from remote.connection.connection import Connection

__all__ = ["Connection", "connect"]


def connect(target: str = "") -> Connection:
    """The server of this project (TARGET_DIR) or of `target`; it logs in at the first use.

    Raises ConfigError where the target is a folder of this machine.
    """
    project = find_project()
    return Connection(project.target(target), project.settings.get("REMOTE_SSH_CONFIG", ""))
