"""Ports that the master forwards while a block runs: nothing else asks it to."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from remote.connection.ssh_command import ssh_argv
from remote.errors import ConnectError
from remote.transport.process import DEVNULL, PIPE, start
from remote.transport.ssh import Ssh


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
