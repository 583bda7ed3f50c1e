"""Servers where logind ends all processes of a user at logout, tmux too (KillUserProcesses=yes).

There, a tmux server survives only in a scope of the user's own manager, and only where that
manager lingers: logind.conf(5), loginctl(1), https://github.com/systemd/systemd/issues/8486.
"""

from __future__ import annotations

import os
import pwd
import re
from pathlib import Path
from typing import Callable, List, Optional

from remote.agent.processes import PROC, answer
from remote.errors import JobError

#: Is there only where systemd runs the machine: sd_booted(3).
BOOTED = Path("/run/systemd/system")
RUNTIME = Path("/run/user")
LINGER = Path("/var/lib/systemd/linger")

_LOGIND = ("org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager")
_QUESTION = ("get-property", *_LOGIND, "KillUserProcesses", "KillOnlyUsers", "KillExcludeUsers")


def wrap(server: Callable[[], Optional[int]]) -> List[str]:
    """The words before a command that starts tmux so that it survives this login; mostly none.

    `server` finds the pid of a tmux server that runs already and would hold the session. Raises
    JobError where the job would end with this connection, whatever is done.
    """
    user = me()
    if not kills(user):
        return []
    running = server()
    if not in_login(os.getpid() if running is None else running):
        return []
    if running is not None:
        raise JobError(
            "The tmux server that would hold the job ends with the login that started it:"
            " logind kills it (KillUserProcesses=yes).",
            "Once its jobs have ended, start this one again. inv remote-ps lists them.",
        )
    lingers = (LINGER / user.pw_name).exists()
    if not lingers and answer(["loginctl", "--no-ask-password", "enable-linger"]) is None:
        raise JobError(
            f"logind on this server ends all processes of {user.pw_name} at logout"
            " (KillUserProcesses=yes): the job would end with your connection.",
            f"An administrator has to run once on the server: sudo loginctl enable-linger {user.pw_name}",
        )
    return _scope()


def kills(user: pwd.struct_passwd) -> bool:
    """Whether logind ends this user's processes at logout, as logind itself says.

    Its files don't tell: it read them at its start, and where they say nothing, it goes by how it
    was built.
    """
    if not BOOTED.is_dir():
        return False
    # A line for each property: `b true`, `as 0`, `as 2 "alice" "bob"`.
    lines = (answer(["busctl", "--system", *_QUESTION]) or "").replace('"', "").splitlines()
    if len(lines) != 3:
        # A logind that can't be asked could not begin a session either.
        return False
    value, only, excluded = (line.split() for line in lines)
    # That root is left alone where nobody is named is logind's own default.
    if user.pw_name in (excluded[2:] or ["root"]):
        return False
    return user.pw_name in only[2:] if only[2:] else value[-1] == "true"


def in_login(pid: int) -> bool:
    """Whether a process belongs to a login (and not to the user's manager, or to no cgroup)."""
    try:
        groups = (PROC / str(pid) / "cgroup").read_text("utf-8", "replace")
    except OSError:
        return False
    return re.search(r"/session-[^/]+\.scope$", groups, re.MULTILINE) is not None


def me() -> pwd.struct_passwd:
    """Who runs this; by a number where the system knows no name for it, as in many containers."""
    uid = os.getuid()
    try:
        return pwd.getpwuid(uid)
    except KeyError:
        home = os.path.expanduser("~")
        return pwd.struct_passwd((str(uid), "x", uid, os.getgid(), "", home, "/bin/sh"))


def _scope() -> List[str]:
    runtime = RUNTIME / str(os.getuid())
    # A login without a terminal may lack it, and systemd-run finds the manager by it.
    lacks = "XDG_RUNTIME_DIR" not in os.environ and runtime.is_dir()
    known = ["env", f"XDG_RUNTIME_DIR={runtime}"] if lacks else []
    words = [*known, "systemd-run", "--user", "--scope", "--quiet"]
    if answer([*words, "true"]) is None:
        raise JobError(
            "logind on this server ends tmux at logout, and systemd-run can't start it apart.",
            "See why, on the server: systemd-run --user --scope true",
        )
    return words
