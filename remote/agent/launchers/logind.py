"""Servers where logind ends all processes of a user at logout, tmux too (KillUserProcesses=yes).

There, a tmux server survives only in a scope of the user's own manager, and only where that
manager lingers: logind.conf(5), loginctl(1), https://github.com/systemd/systemd/issues/8486.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
from collections import defaultdict
from pathlib import Path
from typing import Callable, Dict, List, Optional, Set

from remote.agent.processes import PROC, answer
from remote.errors import JobError

#: Is there only where systemd runs the machine: sd_booted(3).
BOOTED = Path("/run/systemd/system")
RUNTIME = Path("/run/user")
LINGER = Path("/var/lib/systemd/linger")
#: Where logind's configuration may lie.
FOLDERS = [Path(root, "systemd") for root in ("/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib")]

#: The comments of the file that comes with logind show how it was built.
_SETTING = re.compile(r"^(#?Kill\w+)[ \t]*=[ \t]*(.*?)[ \t]*$", re.MULTILINE)
_NO = {"0", "no", "n", "false", "f", "off"}

_LOGIND = ("org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager")
_QUESTION = ("get-property", *_LOGIND, "KillUserProcesses", "KillOnlyUsers", "KillExcludeUsers")


def wrap(server: Callable[[], Optional[int]]) -> List[str]:
    """The words before a command that starts tmux so that it survives this login; mostly none.

    `server` finds the pid of a tmux server that runs already and would hold the session. Raises
    JobError where the job would end with this connection, whatever is done.
    """
    if not suspected():
        return []
    user, running = me(), server()
    if not in_login(os.getpid() if running is None else running) or not kills(user):
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
            f"An administrator has to run there, once: sudo loginctl enable-linger {user.pw_name}",
        )
    return _scope()


def suspected() -> bool:
    """Whether the files leave it open that logind ends processes at logout.

    They tell in 0.3 ms what is so nearly everywhere: no. Which of them decides isn't looked at.
    """
    settings = _settings()
    values = settings["KillUserProcesses"] | settings["#KillUserProcesses"]
    return BOOTED.is_dir() and bool(settings["KillOnlyUsers"] - {""} or values - _NO or not values)


def kills(user: pwd.struct_passwd) -> bool:
    """Whether logind ends this user's processes at logout.

    Unless the files deny it, logind itself is asked: it read them at its start, and where they say
    nothing, it goes by how it was built.
    """
    settings = _settings()
    # That is logind's own default.
    is_left_alone = user.pw_name == "root" and not settings["KillExcludeUsers"]
    if is_left_alone or not suspected():
        return False
    # A line for each property: `b true`, `as 0`, `as 2 "alice" "bob"`.
    lines = (answer(["busctl", "--system", *_QUESTION]) or "").replace('"', "").splitlines()
    if len(lines) != 3:
        return bool(settings["KillUserProcesses"] - _NO)
    value, only, excluded = (line.split() for line in lines)
    if user.pw_name in excluded[2:]:
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
    """Who runs this."""
    return pwd.getpwuid(os.getuid())


def _settings() -> Dict[str, Set[str]]:
    """The values that logind's files give to what is about killing; `#Name` has those in comments."""
    settings: Dict[str, Set[str]] = defaultdict(set)
    for folder in FOLDERS:
        for path in (folder / "logind.conf", *folder.glob("logind.conf.d/*.conf")):
            with contextlib.suppress(OSError):
                for name, value in _SETTING.findall(path.read_text("utf-8", "replace")):
                    settings[name].add(value.lower())
    return settings


def _scope() -> List[str]:
    runtime = RUNTIME / str(os.getuid())
    # A login without a terminal may lack it, and systemd-run finds the manager by it.
    lacks = "XDG_RUNTIME_DIR" not in os.environ and runtime.is_dir()
    known = ["env", f"XDG_RUNTIME_DIR={runtime}"] if lacks else []
    words = [*known, "systemd-run", "--user", "--scope", "--quiet"]
    if answer([*words, "true"]) is None:
        raise JobError(
            "logind on this server ends tmux at logout, and systemd-run can't start it apart.",
            "See why, there: systemd-run --user --scope true",
        )
    return words
