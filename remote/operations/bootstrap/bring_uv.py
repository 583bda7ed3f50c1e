"""Bring uv to a server that lacks it: our own where it fits, else one made for that machine."""

from __future__ import annotations

import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from remote.agent.target_dir import machine
from remote.errors import TargetError
from remote.job.messages.target import Machine
from remote.session import TargetSession
from remote.transport import process


def bring(server: TargetSession, target_machine: Machine) -> None:
    """Put a uv that runs on `target_machine` (what the agent says of its machine) into its cache."""
    with tempfile.TemporaryDirectory() as folder:
        binary = own_uv() if _fits(target_machine) else _fetched(target_machine, Path(folder))
        server.agent.wire.bring("bin/uv", binary.read_bytes())


def own_uv() -> Path:
    """The uv binary that this environment was installed with."""
    from uv import find_uv_bin

    return Path(find_uv_bin())


def _fits(target_machine: Machine) -> bool:
    own = machine()
    return (own.system, own.machine, own.libc) == (
        target_machine.system,
        target_machine.machine,
        target_machine.libc,
    )


def _fetched(target_machine: Machine, folder: Path) -> Path:
    argv = [
        str(own_uv()),
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(folder),
        "--python",
        sys.executable,
        "--python-platform",
        python_platform(target_machine),
        f"uv=={version('uv')}",
    ]
    result = process.run(argv)
    binary = folder / "bin" / "uv"
    if result.code or not binary.is_file():
        raise TargetError(
            f"uv for {python_platform(target_machine)} could not be fetched: {result.complaint}",
            "Install uv on the server by hand, into ~/.local/bin.",
        )
    return binary


def python_platform(target_machine: Machine) -> str:
    """uv's name (`--python-platform`) for the machine that the agent described."""
    if target_machine.system == "Darwin":
        return f"{'aarch64' if target_machine.machine == 'arm64' else 'x86_64'}-apple-darwin"
    libc = "unknown-linux-musl" if target_machine.libc == "musl" else "manylinux2014"
    return f"{target_machine.machine}-{libc}"
