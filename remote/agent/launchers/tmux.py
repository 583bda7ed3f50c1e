"""The launcher: tmux keeps the worker alive without us. State never comes from tmux."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import List, Optional

from remote.agent.launchers import logind
from remote.errors import JobError


def launch(session: str, argv: List[str], *, socket: str) -> None:
    """Start `argv` in a new detached tmux session; raises JobError.

    A tmux server of our own (`-L socket`, no tmux.conf), with /bin/sh as its shell: the command
    line is read by a shell, and the account's may be any. Sessions end with their worker.
    """
    env = {name: os.environ[name] for name in os.environ if name not in ("TMUX", "TMUX_PANE")}
    tmux = ["tmux", "-L", socket, "-f", "/dev/null", "new-session", "-d", "-s", session]
    size = ["-x", "160", "-y", "50"]
    command = "exec " + " ".join(shlex.quote(part) for part in argv)
    done = subprocess.run(
        [*logind.wrap(lambda: server(socket)), *tmux, *size, command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**env, "SHELL": "/bin/sh", "TERM": env.get("TERM") or "screen"},
        cwd=str(Path.home()),
    )
    if done.returncode:
        words = done.stderr.decode("utf-8", "replace").strip()
        raise JobError(f"tmux could not start the job: {words}", "Try it there: tmux new -d true")


def server(socket: str) -> Optional[int]:
    """The pid of the tmux server of that name; None where none runs (or none can be asked)."""
    # Seldom needed, and slow to import.
    import socket as sockets
    import struct

    folder = Path(os.environ.get("TMUX_TMPDIR") or "/tmp") / f"tmux-{os.getuid()}"
    with sockets.socket(sockets.AF_UNIX) as probe:
        try:
            probe.connect(str(folder / socket))
            peer = probe.getsockopt(sockets.SOL_SOCKET, sockets.SO_PEERCRED, 12)
        except (OSError, AttributeError):
            return None
    pid: int = struct.unpack("3i", peer)[0]
    return pid
