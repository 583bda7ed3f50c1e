"""A server without internet installs through this machine: a proxy here, forwarded by SSH."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator

from remote.errors import ConnectError, TargetError
from remote.session import TargetSession

#: The value of REMOTE_PROXY that asks for it.
LAPTOP = "laptop"


def wanted(server: TargetSession) -> bool:
    """Whether the user's settings ask for it; a target on this machine needs none."""
    return server.ssh is not None and server.project.settings.get("REMOTE_PROXY") == LAPTOP


@contextlib.contextmanager
def through_this_machine(server: TargetSession) -> Iterator[str]:
    """The address, on the server, of a proxy that ends on this machine; raises ConnectError.

    A port of loopback is open to every user of a server, so the proxy asks for a password, made
    anew each time.
    """
    # proxy.py and Fabric take their time to import: only who installs this way waits for them.
    import proxy

    if server.ssh is None:
        raise TargetError("A target on this machine needs no proxy.")
    login = f"remote:{secrets.token_hex(24)}"
    flags = ["--hostname", "127.0.0.1", "--port", "0", "--basic-auth", login]
    workers = ["--threaded", "--num-workers", "1", "--num-acceptors", "1", "--log-level", "e"]
    with proxy.Proxy([*flags, *workers]) as local_proxy:
        with _forwarded(server, local_proxy.flags.port) as port:
            yield f"http://{login}@127.0.0.1:{port}"


@contextlib.contextmanager
def _forwarded(server: TargetSession, port: int) -> Iterator[int]:
    """A port of the server's loopback, of its own choice, that leads to `port` here."""
    from remote.connection import Connection

    assert server.ssh is not None
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(Connection(server.target, server.ssh.config))
        try:
            forward = connection.forward_remote(0, port, local_host="127.0.0.1")
            remote_port = stack.enter_context(forward)
        except ConnectError as error:
            hint = "Its sshd must allow it (AllowTcpForwarding), or unset REMOTE_PROXY."
            raise ConnectError(error.message, hint) from error
        yield remote_port
