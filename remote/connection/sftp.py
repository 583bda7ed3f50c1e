"""Files by SFTP on the standard streams of `ssh -s`, and how a transfer names them and its errors."""

from __future__ import annotations

import contextlib
import os
import select
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from paramiko.sftp import SFTPError  # type: ignore[import-untyped]
from paramiko.sftp_client import SFTPClient  # type: ignore[import-untyped]
from paramiko.ssh_exception import SSHException  # type: ignore[import-untyped]

from remote.errors import ConnectError
from remote.transport.process import DEVNULL, Process, start
from remote.transport.ssh import Log, Ssh


class Sftp(SFTPClient):  # type: ignore[misc]
    """paramiko's SFTP client, spoken through `ssh -s`: file names never meet a shell."""

    process: Process[bytes]

    @classmethod
    def start(cls, ssh: Ssh) -> Sftp:
        """Open a session; raises ConnectError."""
        own_end, ssh_end = socket.socketpair()
        with contextlib.closing(Log()) as log:
            with ssh_end:
                argv = [*ssh.session("-s", log=log.path), "sftp"]
                end = ssh_end.fileno()
                process = start(argv, stdin=end, stdout=end, stderr=DEVNULL, apart=True)
            wire = _Wire(fileno=own_end.detach())
            try:
                client = cls(wire)
            except (EOFError, OSError, SSHException, SFTPError) as error:
                wire.close()
                process.kill()
                process.wait()
                if log.words and "subsystem" not in log.words:
                    raise ssh.failure(log.words) from error
                raise ConnectError(
                    f"{ssh.login} does not answer to SFTP.",
                    f"Try it: sftp {ssh.login}. A start-up file that prints something there breaks"
                    " it, too.",
                ) from error
        client.process = process
        return client

    @property
    def ended(self) -> bool:
        """Whether the session is over, by itself or by `close`."""
        return self.process.poll() is not None

    def close(self) -> None:
        """End the session; what was written is written."""
        super().close()
        self.process.kill()
        self.process.wait()


class _Wire(socket.socket):
    """A socket that knows the two things more that paramiko asks of a channel."""

    def recv_ready(self) -> bool:
        """Whether a read would not wait."""
        return bool(select.select([self], [], [], 0)[0])

    def get_name(self) -> str:
        """A name for paramiko's log."""
        return "ssh"


@contextlib.contextmanager
def telling(ssh: Ssh, path: Any) -> Iterator[None]:
    """Name the file in errors that lack it; a lost connection is a ConnectError."""
    try:
        yield
    except (EOFError, SSHException, BrokenPipeError, ConnectionResetError) as error:
        raise ssh.failure("the connection was lost during the transfer") from error
    except OSError as error:
        if error.filename is not None:
            raise
        if error.errno is None:
            raise OSError(f"{error}: {path!r}") from error
        raise OSError(error.errno, error.strerror, path) from error


def local_template(local: Any) -> Any:
    """Fabric's template for the local file. A name from the server is never read as one."""
    if not local:
        return "{basename}"
    if isinstance(local, Path):
        local = str(local).replace("{", "{{").replace("}", "}}")
    if isinstance(local, str) and Path(local.replace("{{", "{").replace("}}", "}")).is_dir():
        return os.path.join(local, "")
    return local
