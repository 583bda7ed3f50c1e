"""Fabric's connection, with every part of it that reaches for the server replaced."""

from __future__ import annotations

import contextlib
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

from remote.connection.runner import OpenSsh, OpenSshShell
from remote.connection.sftp import Sftp, is_folder, local_template, telling
from remote.connection.ssh_command import ssh_argv
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
        super().__init__(target.host, user=target.user or None, config=_config())
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
            raise is_folder(local, "put sends single files; make sync-push sends folders")
        with telling(self.ssh, remote or local):
            return Transfer(self).put(local, remote, preserve_mode)

    def get(self, remote: str, local: Any = None, preserve_mode: bool = True) -> TransferResult:
        """Download a file; returns fabric.transfer.Result.

        A `local` string may hold {host}, {user}, {port}, {dirname}, {basename}; a Path or a
        file-like object is taken as it is. What is here is not touched if `remote` is missing.
        """
        with telling(self.ssh, remote):
            if remote and stat.S_ISDIR(self.sftp().stat(remote).st_mode or 0):
                raise is_folder(remote, "get brings single files; make sync-pull brings folders")
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
        listen = tcp_address("127.0.0.1" if local_host == "localhost" else local_host, local_port)
        to = tcp_address(remote_host, remote_port or local_port)
        if remote_socket:
            to = socket_address(remote_socket)
        self.open()
        with forwarding(self.ssh, "-L", listen, to):
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
        listen = tcp_address(remote_host, remote_port)
        to = tcp_address(local_host, local_port or remote_port)
        self.open()
        with forwarding(self.ssh, "-R", listen, to) as message:
            yield remote_port or _allocated_port(message)


def _allocated_port(message: str) -> int:
    match = re.search(r"\d+", message)
    if not match:
        raise ConnectError("ssh doesn't tell which port the server forwards.")
    return int(match[0])


def _config() -> fabric.Config:
    """Fabric's settings, with our runners; an empty ssh_config keeps it from reading any."""
    runners = {"remote": OpenSsh, "remote_shell": OpenSshShell}
    return fabric.Config(ssh_config=SSHConfig(), overrides={"runners": runners})


def tcp_address(host: str, port: int) -> str:
    """One end of a forward, as ssh's -L and -R write it."""
    return f"[{host}]:{port}"


def socket_address(path: str) -> str:
    """The same for a socket; raises ConnectError where its path isn't plain.

    ssh expands `${VARIABLE}` and `%` here, in the path of a socket there (ssh_config(5), TOKENS):
    a server that names such a path would be told what our environment holds.
    """
    if not re.fullmatch(r"/[A-Za-z0-9._/-]+", path):
        raise ConnectError(f"The server names a socket that has no plain path: {path}")
    return path


@contextlib.contextmanager
def forwarding(ssh: Ssh, flag: str, listen: str, to: str) -> Iterator[str]:
    """Forward from `listen` to `to`; ssh's `flag`, -L or -R, says which of them is here.

    The block gets what ssh says: the port that the server chose, where -R asked for port 0. Raises
    ConnectError.
    """
    forward = f"{listen}:{to}"
    with _holding(ssh):
        result = ssh.tell_master("forward", flag, forward)
        if result.code:
            raise ConnectError(
                f"The port can't be forwarded (ssh {flag} {forward}): {result.complaint}",
                "Is it in use already, or does the server's sshd refuse it (AllowTcpForwarding)?",
            )
        try:
            yield result.stdout.decode("ascii", "replace")
        finally:
            ssh.tell_master("cancel", flag, forward)


@contextlib.contextmanager
def _holding(ssh: Ssh) -> Iterator[None]:
    """Keep the master up: it counts sessions, not forwarded ports, when it looks for idleness."""
    argv = [*ssh_argv(ssh), "cat"]
    with start(argv, stdin=PIPE, stdout=DEVNULL, stderr=DEVNULL, apart=True) as session:
        try:
            yield
        finally:
            session.kill()
