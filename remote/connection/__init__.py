"""A `fabric.Connection` whose wire is the system's OpenSSH: for tunnels, and for a user's own tasks.

Commands, files and forwarded ports share the login that rsync uses (see `remote.transport.ssh`). Of
paramiko only its SFTP client works here, on the standard streams of `ssh -s`; its transport, its
reading of ssh_config and its way with host keys never do. Importing fabric takes 0.4 s: commands
import this package where they open a tunnel, and not before.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fabric  # type: ignore[import-untyped]
from fabric.transfer import Result as TransferResult  # type: ignore[import-untyped]
from fabric.transfer import Transfer
from paramiko.config import SSHConfig  # type: ignore[import-untyped]
from paramiko.sftp_client import SFTPClient  # type: ignore[import-untyped]

from remote.config import find_project
from remote.connection.runner import OpenSsh, OpenSshShell
from remote.connection.sftp import Sftp, local_template, telling
from remote.errors import ConfigError, ConnectError
from remote.target import Target
from remote.transport.process import DEVNULL, PIPE, start
from remote.transport.ssh import Ssh


class Connection(fabric.Connection):  # type: ignore[misc]
    """Fabric's connection to the host of `target`.

    `ssh` is the wire, `target` the project's place there: `with c.cd(c.target.path): …`. Closing
    ends what this connection began; the shared login stays, for rsync and for other commands
    (`c.ssh.close()` ends it for all of them).
    """

    # Fabric's objects keep attributes that the class does not name in their configuration.
    ssh: Ssh = None  # type: ignore[assignment]
    target: Target = None  # type: ignore[assignment]
    _opened = False
    _sftp: Sftp | None = None

    def __init__(self, target: Target, ssh_config: str = "") -> None:
        if target.is_local:
            raise ConfigError(
                f"{str(target)!r} is a folder of this machine: there is no server to connect to.",
                "Set TARGET_DIR=user@host:/dir.",
            )
        runners = {"remote": OpenSsh, "remote_shell": OpenSshShell}
        # An empty ssh_config keeps Fabric from reading any.
        config = fabric.Config(ssh_config=SSHConfig(), overrides={"runners": runners})
        super().__init__(target.host, user=target.user or None, config=config)
        self.ssh = Ssh(target.login, ssh_config)
        self.target = target
        # Its policy is to trust every host key: nobody shall connect it by accident.
        self.client = None

    def _identity(self) -> tuple[Any, ...]:
        """Which server this is; one alias means different servers in two ssh_config files."""
        return (self.host, self.user, self.port, self.ssh.config)

    @property
    def is_connected(self) -> bool:
        """Whether this connection is open, and the login behind it alive."""
        return self._opened and self.ssh.tell_master("check").code == 0

    def open(self) -> None:
        """Log in, unless somebody of this machine did already; raises ConnectError."""
        self.ssh.connect()
        self._opened = True

    def close(self) -> None:
        """End what this connection began; the shared login stays."""
        self._opened = False
        if self._sftp is not None:
            self._sftp.close()
            self._sftp = None

    def create_session(self) -> None:
        """Refused: Fabric would return a channel of paramiko's."""
        raise NotImplementedError("OpenSSH is the wire here: there are no paramiko channels.")

    def sftp(self) -> SFTPClient:
        """paramiko's SFTP client over `ssh -s`: listdir, stat, open …; raises ConnectError."""
        if self._sftp is not None and self._sftp.ended:
            self.close()
        if self._sftp is None:
            self.open()
            self._sftp = Sftp.start(self.ssh)
        return self._sftp

    def put(self, local: Any, remote: str | None = None, preserve_mode: bool = True) -> Any:
        """Upload a file or a file-like object; returns fabric.transfer.Result.

        `remote` is taken letter by letter, from the home there (no ~, no wildcards).
        """
        if isinstance(local, os.PathLike):
            local = os.fspath(local)
        if isinstance(local, str) and Path(local).is_dir():
            advice = "It is a folder (put copies single files; make sync-push copies folders)"
            raise IsADirectoryError(errno.EISDIR, advice, local)
        with telling(self.ssh, remote or local):
            return Transfer(self).put(local, remote, preserve_mode)

    def get(self, remote: str, local: Any = None, preserve_mode: bool = True) -> TransferResult:
        """Download a file; returns fabric.transfer.Result.

        A `local` string may hold {host}, {user}, {port}, {dirname}, {basename}; a Path or a
        file-like object is taken as it is. What is here is not touched if `remote` is missing.
        """
        with telling(self.ssh, remote):
            if remote and stat.S_ISDIR(self.sftp().stat(remote).st_mode or 0):
                advice = "It is a folder (get copies single files; make sync-pull copies folders)"
                raise IsADirectoryError(errno.EISDIR, advice, remote)
            return Transfer(self).get(remote, local_template(local), preserve_mode)

    @contextlib.contextmanager
    def forward_local(
        self,
        local_port: int,
        remote_port: int | None = None,
        remote_host: str = "localhost",
        local_host: str = "localhost",
        remote_socket: str = "",
    ) -> Iterator[None]:
        """Listen on `local_port` here and lead it to `remote_port` there, while the block runs.

        With `remote_socket` it leads to that socket, an absolute path. Raises ConnectError.
        """
        # ssh is content with one of localhost's two addresses; a port that is taken on the other
        # would go unnoticed.
        host = "127.0.0.1" if local_host == "localhost" else local_host
        to = f"[{remote_host}]:{remote_port or local_port}"
        if remote_socket:
            to = socket_address(remote_socket)
        with self._forwarding("-L", f"[{host}]:{local_port}:{to}"):
            yield

    @contextlib.contextmanager
    def forward_remote(
        self,
        remote_port: int,
        local_port: int | None = None,
        remote_host: str = "127.0.0.1",
        local_host: str = "localhost",
    ) -> Iterator[int]:
        """Listen on `remote_port` there and lead it to `local_port` here, while the block runs.

        The block gets the port there: with 0, the server chooses one. Raises ConnectError.
        """
        to = f"[{local_host}]:{local_port or remote_port}"
        with self._forwarding("-R", f"[{remote_host}]:{remote_port}:{to}") as message:
            allocated = re.search(r"\d+", message)
            if not remote_port and not allocated:
                raise ConnectError(
                    "ssh doesn't tell which port the server forwards.", "Name a port in place of 0."
                )
            yield remote_port or int(allocated[0] if allocated else 0)

    @contextlib.contextmanager
    def _forwarding(self, flag: str, forward: str) -> Iterator[str]:
        """Forward as ssh's `flag`, -L or -R, has it, while the block runs; raises ConnectError.

        The block gets what ssh says: the port that the server chose, where -R asked for port 0.
        """
        self.open()
        # It keeps the master up, which counts sessions, not forwarded ports, when it looks for
        # idleness.
        argv = [*self.ssh.session(), "cat"]
        with start(argv, stdin=PIPE, stdout=DEVNULL, stderr=DEVNULL, apart=True) as session:
            try:
                result = self.ssh.tell_master("forward", flag, forward)
                if result.code:
                    raise ConnectError(
                        f"The port can't be forwarded (ssh {flag} {forward}): {result.complaint}",
                        "Is it in use already, or does the server's sshd refuse it"
                        " (AllowTcpForwarding)?",
                    )
                try:
                    yield result.stdout.decode("ascii", "replace")
                finally:
                    self.ssh.tell_master("cancel", flag, forward)
            finally:
                session.kill()


def socket_address(path: str) -> str:
    """A socket as ssh's -L writes it; raises ConnectError where its path isn't plain.

    ssh expands `${VARIABLE}` and `%` here, in the path of a socket there (ssh_config(5), TOKENS):
    a server that names such a path would be told what our environment holds.
    """
    if not re.fullmatch(r"/[A-Za-z0-9._/-]+", path):
        raise ConnectError(f"The server names a socket that has no plain path: {path}")
    return path


def connect(target: str = "") -> Connection:
    """The server of this project (TARGET_DIR) or of `target`; it logs in at the first use.

    Raises ConfigError where the target is a folder of this machine.
    """
    project = find_project()
    return Connection(project.target(target), project.settings.get("REMOTE_SSH_CONFIG", ""))
