"""A shell on a target, or a command in its place: a tmux of its own, which ends with its last window.

Whoever attaches to it is in the job's environment.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import List

from remote.job.paths import JobPaths
from remote.job.spec import Job
from remote.job.status import SOCKET

#: The pane that tmux opens first; seconds between two looks whether it has read all of its output.
FIRST, LOOK = "%0", 0.02

#: By this name who waits inside of tmux hears that the command has ended.
ENDED = "remote-ended"

#: How the line begins that tmux itself adds to the output of a command that has ended.
ADDED = "Pane is dead"


def serve_shell(paths: JobPaths, job: Job, private: Path) -> None:
    """Hold the shell; a command in its place is this process's: its last screens, and its exit code."""
    if shutil.which("tmux") is None:
        sys.exit(f"[remote] {os.uname().nodename} has no tmux, which would hold the shell.")
    shell = shlex.quote(os.environ.get("SHELL") or "/bin/sh")
    tmux = ["tmux", "-S", str(private / SOCKET)]
    # No login shell: what those read first may put another Python before the job's.
    command = f"exec {shell}"
    if job.arguments:
        wake = shlex.join([*tmux, "wait-for", "-S", ENDED])
        command = f"{shlex.join(job.arguments)}; code=$?; {wake}; exit $code"
    begin = [*tmux, "new-session", "-d", "-s", job.id, "-x", "160", "-y", "50", command]
    begin += [";", "set-option", "-g", "default-command", f"exec {shell}"]
    if job.arguments:
        # What it said at last, and its exit code, are read from the window that stays.
        begin += [";", "set-window-option", "-t", FIRST, "remain-on-exit", "on"]
    subprocess.run(begin, check=True)
    print("[remote] to its terminal: inv remote-shell", flush=True)
    # Who waits for a word that never comes is let go when tmux ends.
    subprocess.call([*tmux, "wait-for", ENDED])
    panes = _asked(tmux, "list-panes", "-a").splitlines()
    if job.arguments and panes:
        _end_as_command(paths, private, tmux, is_last=len(panes) == 1)


def _end_as_command(paths: JobPaths, private: Path, tmux: List[str], *, is_last: bool) -> None:
    code = _exit_code(tmux)
    print(_screens(tmux), flush=True)
    if is_last:
        # Before its terminal closes: whoever was attached asks then whether it goes on.
        hidden = private / "ended"
        tmux = ["tmux", "-S", str(hidden)]
        (private / SOCKET).rename(hidden)
        if paths.address.exists():
            paths.address.unlink()
    subprocess.call([*tmux, "kill-pane", "-t", FIRST])
    subprocess.call([*tmux, "wait-for", ENDED], stderr=subprocess.DEVNULL)
    sys.exit(code)


def _exit_code(tmux: List[str]) -> int:
    """That of the command; 0 where its window was closed, as a shell's may be."""
    while True:
        words = _asked(
            tmux, "display-message", "-p", "-t", FIRST, "#{pane_dead} #{pane_dead_status}"
        )
        dead, _, code = words.strip().partition(" ")
        if dead != "0":
            return int(code or 0)
        time.sleep(LOOK)


def _screens(tmux: List[str]) -> str:
    """What the command wrote, as far back as tmux keeps it, in lines as it wrote them."""
    text = _asked(tmux, "capture-pane", "-p", "-J", "-S", "-", "-t", FIRST)
    lines = [line.rstrip() for line in text.rstrip().splitlines()]
    if lines and lines[-1].startswith(ADDED):
        lines.pop()
    return "\n".join(lines).rstrip()


def _asked(tmux: List[str], *words: str) -> str:
    """What tmux says; nothing where it has ended."""
    return subprocess.run(
        [*tmux, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
        errors="replace",
    ).stdout
