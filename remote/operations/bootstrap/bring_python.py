"""Bring a Python to a server whose own is too old for the agent, or missing."""

from __future__ import annotations

from collections.abc import Callable

from remote.errors import TargetError
from remote.job.messages.target import Machine
from remote.operations.bootstrap import bring_uv
from remote.rpc.wire import CACHE
from remote.session import TargetSession
from remote.transport import process

VERSION = "3.12"

#: uv asks the system's certificates, as a company's proxy needs it. No value of the user's.
COMMAND = f"exec sh -c 'UV_SYSTEM_CERTS=1 exec {CACHE}/bin/uv python install {VERSION}'"


def bring(server: TargetSession, machine: Machine, *, say: Callable[[str], None]) -> None:
    """Have uv, brought first, install a Python below the home there; raises TargetError."""
    assert server.ssh is not None
    say(f"The server has no Python for the toolkit: bringing uv and Python {VERSION} (once)")
    bring_uv.bring(server, machine)
    result = process.run(server.ssh.command(COMMAND))
    if result.code == 255:
        raise server.ssh.failure(result.stderr)
    if result.code:
        raise TargetError(
            f"Python {VERSION} can't be installed on the server: {result.complaint}",
            "Install Python 3.8 or newer there: sudo apt-get install python3 (or dnf install"
            " python39)",
        )
