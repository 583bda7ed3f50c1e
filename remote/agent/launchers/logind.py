"""Servers where logind ends all processes of a user at logout, tmux too (KillUserProcesses=yes).

There, a tmux server survives only in a scope of the user's own manager, and only where that
manager lingers: logind.conf(5), loginctl(1), https://github.com/systemd/systemd/issues/8486.
"""

from __future__ import annotations

import os
import pwd
import re
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence

from remote.errors import JobError

PROC = Path("/proc")
#: Is there only where systemd runs the machine: sd_booted(3).
BOOTED = Path("/run/systemd/system")
RUNTIME = Path("/run/user")
LINGER = Path("/var/lib/systemd/linger")
#: Where logind's configuration lies; what stands first hides files of the same name in the others.
FOLDERS = (
    Path("/etc/systemd"),
    Path("/run/systemd"),
    Path("/usr/local/lib/systemd"),
    Path("/usr/lib/systemd"),
    Path("/lib/systemd"),
)

#: How long a question to logind may take, in seconds.
LIMIT = 10

_SETTING = re.compile(r"^(#?)(Kill\w+)[ \t]*=[ \t]*(.*?)[ \t]*$", re.MULTILINE)
_YES = ("1", "yes", "y", "true", "t", "on")
_NO = ("0", "no", "n", "false", "f", "off")


def wrap(server: Callable[[], Optional[int]]) -> List[str]:
    """The words before a command that starts tmux so that it survives this login; mostly none.

    `server` finds the pid of a tmux server that runs already and would hold the session. Raises
    JobError where the job would end with this connection, whatever is done.
    """
    if not suspected(me()):
        return []
    running = server()
    if not in_login(os.getpid() if running is None else running) or not kills(me()):
        return []
    if running is not None:
        raise JobError(
            "The tmux server that would hold the job ends with the login that started it:"
            " logind kills it (KillUserProcesses=yes).",
            "Once its jobs have ended, start this one again. inv remote-ps lists them.",
        )
    _linger(me())
    return _scope()


def suspected(user: pwd.struct_passwd) -> bool:
    """Whether the files leave it open that logind ends this user's processes at logout.

    They tell in 0.3 ms what is so nearly everywhere: no.
    """
    if not BOOTED.is_dir():
        return False
    settings = _settings()
    names = {user.pw_name, str(user.pw_uid)}
    if names & set(settings.get("KillExcludeUsers", "root").split()):
        return False
    only = set(settings.get("KillOnlyUsers", "").split())
    return (not only or bool(names & only)) and _said(settings) is not False


def kills(user: pwd.struct_passwd) -> bool:
    """Whether logind ends this user's processes at logout.

    Unless the files deny it, logind itself is asked: it read them at its start, and where they say
    nothing, it goes by how it was built.
    """
    if not suspected(user):
        return False
    told = _ask()
    return _said(_settings()) is True if told is None else told


def _said(settings: Dict[str, str]) -> Optional[bool]:
    value = settings.get("KillUserProcesses", "").lower()
    return True if value in _YES else False if value in _NO else None


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


def _settings() -> Dict[str, str]:
    """What the files say; the comments of the main one, which show what was built in, too."""
    found: Dict[str, str] = {}
    main = next((path for path in _in_folders("logind.conf") if path.is_file()), None)
    for path in ([main] if main else []) + _drop_ins():
        for comment, name, value in _SETTING.findall(_text(path)):
            if not comment:
                found[name] = value
            elif path == main:
                found.setdefault(name, value)
    return found


def _drop_ins() -> List[Path]:
    named: Dict[str, Path] = {}
    for folder in _in_folders("logind.conf.d"):
        for path in folder.glob("*.conf") if folder.is_dir() else ():
            named.setdefault(path.name, path)
    return [named[name] for name in sorted(named)]


def _in_folders(name: str) -> List[Path]:
    return [folder / name for folder in FOLDERS]


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def _ask() -> Optional[bool]:
    """What the logind that runs says; None where it can't be asked."""
    manager = ["org.freedesktop.login1", "/org/freedesktop/login1"]
    question = ["get-property", *manager, "org.freedesktop.login1.Manager", "KillUserProcesses"]
    said = _run(["busctl", "--system", *question])
    return {"b true": True, "b false": False}.get(said.strip()) if said is not None else None


def _linger(user: pwd.struct_passwd) -> None:
    """Have the user's manager outlive the logins; raises JobError."""
    if (LINGER / user.pw_name).exists():
        return
    if _run(["loginctl", "--no-ask-password", "enable-linger"]) is None:
        raise JobError(
            f"logind on this server ends all processes of {user.pw_name} at logout"
            " (KillUserProcesses=yes): the job would end with your connection.",
            f"An administrator has to run there, once: sudo loginctl enable-linger {user.pw_name}",
        )


def _scope() -> List[str]:
    runtime = RUNTIME / str(os.getuid())
    # A login without a terminal may lack it, and systemd-run finds the manager by it.
    lacks = "XDG_RUNTIME_DIR" not in os.environ and runtime.is_dir()
    known = ["env", f"XDG_RUNTIME_DIR={runtime}"] if lacks else []
    words = [*known, "systemd-run", "--user", "--scope", "--quiet"]
    if _run([*words, "true"]) is None:
        raise JobError(
            "logind on this server ends tmux at logout, and systemd-run can't start it apart.",
            "See why, there: systemd-run --user --scope true",
        )
    return words


def _run(argv: Sequence[str]) -> Optional[str]:
    """What a program says; None where it fails, hangs or isn't there."""
    # See tmux: most calls of the agent start nothing.
    import subprocess

    try:
        done = subprocess.run(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=LIMIT,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if done.returncode else done.stdout.decode("utf-8", "replace")
