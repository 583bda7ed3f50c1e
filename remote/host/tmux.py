"""The launcher: tmux keeps the worker alive without us. State never comes from tmux."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import List

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
        [*tmux, *size, command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**env, "SHELL": "/bin/sh", "TERM": env.get("TERM") or "screen"},
        cwd=str(Path.home()),
    )
    if done.returncode:
        words = done.stderr.decode("utf-8", "replace").strip()
        raise JobError(f"tmux could not start the job: {words}", "Try it there: tmux new -d true")
