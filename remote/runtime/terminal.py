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

#: How the line begins that tmux itself adds to the output of a command that has ended.
ADDED = "Pane is dead"

#: The exit code of what SIGKILL ended.
KILLED = 137


def serve_shell(paths: JobPaths, job: Job, private: Path) -> None:
    """Hold the shell; a command in its place is this process's: its last screens, and its exit code."""
    if shutil.which("tmux") is None:
        sys.exit(f"[remote] {os.uname().nodename} has no tmux, which would hold the shell.")
    shell = shlex.quote(os.environ.get("SHELL") or "/bin/sh")
    tmux = ["tmux", "-S", str(private / SOCKET)]
    # No login shell: what those read first may put another Python before the job's.
    command = [f"exec {shell}"]
    code = private / "code"
    if job.arguments:
        os.mkfifo(code)
        # tmux forgets the exit code of one in seven: its library that notes logins waits for a
        # child of its own then, and drops what it hears of others. And not by the account's shell,
        # whose syntax may be another.
        script = f"exec 9>{shlex.quote(str(code))}; {shlex.join(job.arguments)} 9>&-; echo $? >&9"
        command = ["/bin/sh", "-c", script]
    begin = [*tmux, "new-session", "-d", "-s", job.id, "-x", "160", "-y", "50", *command]
    begin += [";", "set-option", "-g", "default-command", f"exec {shell}"]
    if job.arguments:
        # What it said at last is read from the window that stays.
        begin += [";", "set-window-option", "-t", FIRST, "remain-on-exit", "on"]
    # tmux has a copy of this pipe's end, and its windows don't: it closes when tmux ends. Of its own
    # commands, wait-for never hears of that where it is asked while tmux ends.
    life, of_tmux = os.pipe()
    subprocess.run(begin, check=True, pass_fds=[of_tmux])
    os.close(of_tmux)
    print("[remote] to its terminal: inv remote-shell", flush=True)
    # Its end without a word is sh's own, by a signal, or that of its window.
    ended = int(code.read_text() or KILLED) if job.arguments else 0
    panes = _asked(tmux, "list-panes", "-a", "-F", "#{pane_id}").split() if job.arguments else []
    if FIRST in panes:
        print(_screens(tmux), flush=True)
        if panes == [FIRST]:
            tmux = _hide(paths, private)
        subprocess.call([*tmux, "kill-pane", "-t", FIRST])
    os.read(life, 1)
    # A window that was closed is no failure, as a shell's isn't.
    sys.exit(ended if FIRST in panes else 0)


def _hide(paths: JobPaths, private: Path) -> List[str]:
    """tmux from where nobody else finds it: whoever is attached asks, when its terminal closes, whether
    the shell goes on."""
    hidden = private / "ended"
    (private / SOCKET).rename(hidden)
    if paths.address.exists():
        paths.address.unlink()
    return ["tmux", "-S", str(hidden)]


def _screens(tmux: List[str]) -> str:
    """What the command wrote, as far back as tmux keeps it, in lines as it wrote them."""
    # A window that has closed its terminal has read all of it.
    while _asked(tmux, "display-message", "-p", "-t", FIRST, "#{pane_dead}").strip() == "0":
        time.sleep(LOOK)
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
