"""Ports that the master forwards while a block runs."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator

from remote.connection.master import ssh_argv, start_apart, tell_master
from remote.errors import ConnectError
from remote.transport.ssh import Ssh


@contextlib.contextmanager
def forwarding(ssh: Ssh, flag: str, listen: tuple[str, int], to: tuple[str, int]) -> Iterator[None]:
    """Forward one port; ssh's `flag` says which end is here. Raises ConnectError."""
    way = "[{}]:{}:[{}]:{}".format(*listen, *to)
    with _holding(ssh):
        if tell_master(ssh, "forward", flag, way).code:
            raise ConnectError(
                f"The port can't be forwarded (ssh {flag} {way}).",
                "Is it in use already? Choose another one.",
            )
        try:
            yield
        finally:
            tell_master(ssh, "cancel", flag, way)


@contextlib.contextmanager
def _holding(ssh: Ssh) -> Iterator[None]:
    """Keep the master up: it counts sessions, not forwarded ports, when it looks for idleness."""
    with start_apart([*ssh_argv(ssh), "cat"], subprocess.PIPE) as held:
        try:
            yield
        finally:
            held.kill()
