"""What is brought to a server that lacks it: uv, an empty MLflow store, a way to the internet."""

from __future__ import annotations

import contextlib
import secrets
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from remote.agent.target_dir import machine
from remote.errors import ConnectError, TargetError
from remote.job.messages.target import Machine
from remote.session import TargetSession
from remote.tracking import empty_store
from remote.transport import process


def bring_uv(server: TargetSession, target_machine: Machine) -> None:
    """Put a uv that runs on `target_machine` (what the agent says of its machine) into its cache."""
    kinds = [(each.system, each.machine, each.libc) for each in (machine(), target_machine)]
    with tempfile.TemporaryDirectory() as folder:
        binary = own_uv()
        if kinds[0] != kinds[1]:
            # Takes its time to import: only who brings uv to another kind of machine waits for it.
            from importlib.metadata import version

            platform = python_platform(target_machine)
            argv = [str(binary), "pip", "install", "--quiet", "--no-deps", "--target", folder]
            argv += ["--python", sys.executable, "--python-platform", platform]
            result = process.run([*argv, f"uv=={version('uv')}"])
            binary = Path(folder) / "bin" / "uv"
            if result.code or not binary.is_file():
                raise TargetError(
                    f"uv for {platform} could not be fetched: {result.complaint}",
                    "Install uv on the server by hand, into ~/.local/bin.",
                )
        server.agent.wire.bring("bin/uv", binary.read_bytes())


def bring_store(server: TargetSession, target_machine: Machine) -> None:
    """Put an empty store of this machine's MLflow into the cache of one whose jobs have no MLflow."""
    template = empty_store.made_here()
    server.agent.wire.bring(f"{empty_store.KEPT}/{template.name}", template.read_bytes())


def own_uv() -> Path:
    """The uv binary that this environment was installed with."""
    from uv import find_uv_bin

    return Path(find_uv_bin())


def python_platform(target_machine: Machine) -> str:
    """uv's name (`--python-platform`) for the machine that the agent described."""
    if target_machine.system == "Darwin":
        return f"{'aarch64' if target_machine.machine == 'arm64' else 'x86_64'}-apple-darwin"
    libc = "unknown-linux-musl" if target_machine.libc == "musl" else "manylinux2014"
    return f"{target_machine.machine}-{libc}"


def wants_proxy(server: TargetSession) -> bool:
    """Whether installs go through this machine by the user's settings; a target on this machine needs none."""
    proxy = server.settings.proxy or server.project.settings.get("REMOTE_PROXY")
    return server.ssh is not None and proxy == "laptop"


@contextlib.contextmanager
def through_this_machine(server: TargetSession) -> Iterator[str]:
    """The address, on the server, of a proxy that ends on this machine; raises ConnectError.

    It leads to package indexes and nowhere else. A port of loopback is open to every user of a
    server, so the proxy asks for a password, made anew each time.
    """
    # proxy.py and Fabric take their time to import: only who installs this way waits for them.
    from remote.connection import Connection
    from remote.operations.jobs import index_proxy
    from remote.operations.jobs.index_hosts import index_hosts

    if server.ssh is None:
        raise TargetError(
            "A target on this machine needs no proxy.", "Take REMOTE_PROXY out of .env."
        )
    login = f"remote:{secrets.token_hex(24)}"
    hosts = index_hosts(server.project)
    with contextlib.ExitStack() as stack:
        here = stack.enter_context(index_proxy.running(hosts, login))
        connection = stack.enter_context(Connection(server.target, server.ssh.config))
        try:
            # A port of the server's loopback, of its own choice.
            forward = connection.forward_remote(0, here, local_host="127.0.0.1")
            there = stack.enter_context(forward)
        except ConnectError as error:
            hint = "Its sshd must allow it (AllowTcpForwarding), or unset REMOTE_PROXY."
            raise ConnectError(error.message, hint) from error
        yield f"http://{login}@127.0.0.1:{there}"
