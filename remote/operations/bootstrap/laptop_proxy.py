"""A server without internet installs through this machine: a proxy here, forwarded by SSH."""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Iterator

from remote.errors import ConnectError, TargetError
from remote.session import Server
from remote.transport import process
from remote.transport.ssh import Ssh

#: The value of REMOTE_PROXY that asks for it.
LAPTOP = "laptop"


def wanted(server: Server) -> bool:
    """Whether the user's settings ask for it; a target on this machine needs none."""
    return server.ssh is not None and server.project.settings.get("REMOTE_PROXY") == LAPTOP


@contextlib.contextmanager
def through_this_machine(server: Server) -> Iterator[str]:
    """The address, on the server, of a proxy that ends on this machine; raises ConnectError.

    A port of loopback is open to every user of a server, so the proxy asks for a password, made
    anew each time.
    """
    import proxy

    if server.ssh is None:
        raise TargetError("A target on this machine needs no proxy.")
    login = f"remote:{secrets.token_hex(24)}"
    flags = ["--hostname", "127.0.0.1", "--port", "0", "--basic-auth", login]
    workers = ["--threaded", "--num-workers", "1", "--num-acceptors", "1", "--log-level", "e"]
    with proxy.Proxy([*flags, *workers]) as here:
        with _forwarded(server.ssh, here.flags.port) as port:
            yield f"http://{login}@127.0.0.1:{port}"


@contextlib.contextmanager
def _forwarded(ssh: Ssh, port: int) -> Iterator[int]:
    """A port of the server's loopback that leads to `port` here."""
    ssh.connect()
    way = ["-R", f"127.0.0.1:0:127.0.0.1:{port}"]
    done = process.run(ssh.tell_master("forward", *way))
    allocated = re.search(rb"\d+", done.stdout)
    if done.code or not allocated:
        last = (done.stderr.strip().splitlines() or ["ssh said nothing"])[-1]
        raise ConnectError(
            f"The server forwards no port to this machine: {last}",
            "Its sshd must allow it (AllowTcpForwarding), or unset REMOTE_PROXY.",
        )
    try:
        yield int(allocated[0])
    finally:
        process.run(ssh.tell_master("cancel", *way))
