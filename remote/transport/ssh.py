"""OpenSSH is the wire: one login (a master connection) shared by rsync and every command.

Host keys, ports, jump hosts and keys are what the user's own ssh configuration says.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import socket
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from remote.errors import ConfigError, ConnectError, LoginError, NoAnswer
from remote.files import locked
from remote.transport import process
from remote.transport.process import Result

#: How long an unused master connection stays open, in seconds.
PERSIST = 1800

#: Seconds between two questions to a silent server. Three without an answer, and the time that a new
#: connection may take, are less than a minute.
ALIVE = 10

#: Seconds within which a master greets who connects to it, however busy this machine is.
GREETING = 3.0

#: Where everybody may make files.
TMP = Path("/tmp")

#: Bytes in the path of the folder for sockets' folder: macOS allows 104 for a socket, and ours adds
#: up to 29 to this, ssh another 17 while it makes one.
LONGEST_BASE = 50

_CAUSES: tuple[tuple[str, type[ConnectError], str, str], ...] = (
    (
        r"Could not resolve hostname",
        ConnectError,
        "The host name {login!r} is not known.",
        "Check TARGET_DIR, or add a Host entry to {config}.",
    ),
    (
        r"Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED",
        LoginError,
        "The host key of {login} is not the one that is known, or not known yet.",
        "Log in once by hand ({ssh}) and check its fingerprint.",
    ),
    (
        r"Permission denied|Too many authentication failures",
        LoginError,
        "{login} refuses the login (user name or key).",
        "Try it by hand: {ssh}. {copy_id} copies your key to it.",
    ),
    (
        r"Connection refused",
        ConnectError,
        "{login} answers, but no SSH server listens.",
        "Check the port in {config}, and that sshd runs.",
    ),
    (
        r"timed out|No route to host|Network is unreachable",
        ConnectError,
        "{login} does not answer.",
        "Is it switched on, is the VPN up, is the jump host reachable?",
    ),
)


@dataclass(frozen=True)
class Ssh:
    """How to reach one server. `config` is an ssh_config to use instead of the user's own."""

    login: str
    config: str = ""

    @property
    def control(self) -> Path:
        """The master's socket: a private folder and a short name (macOS allows 104 bytes)."""
        name = hashlib.sha256(f"{self.login}\0{self.config}".encode()).hexdigest()[:16]
        return control_folder() / name

    def options(self) -> list[str]:
        """ssh's options, to be followed by the login and a command."""
        config = ["-F", self.config] if self.config else []
        settings = [
            "ControlMaster=auto",
            f"ControlPath={self.control}",
            f"ControlPersist={PERSIST}",
            f"ServerAliveInterval={ALIVE}",
            "ServerAliveCountMax=3",
            "ConnectTimeout=20",
            # What the user has set up for their own sessions would get in our way.
            "ClearAllForwardings=yes",
            # For half an hour, whoever is root there could log in elsewhere with the user's keys.
            "ForwardAgent=no",
            "ForwardX11=no",
            "RemoteCommand=none",
            "RequestTTY=no",
        ]
        return config + [part for setting in settings for part in ("-o", setting)]

    def command(self, remote: str) -> list[str]:
        """argv that runs `remote`, read by the login shell there, whichever that is."""
        return ["ssh", *self.options(), "--", self.login, remote]

    def session(self, *flags: str, log: str = os.devnull) -> list[str]:
        """argv of an ssh that uses the master; a command may follow.

        The log's level lets an exit code of the command's be told from one of ssh's. This ssh never
        becomes a master itself: one that stays behind would hold our streams open.
        """
        own = ["-E", log, "-o", "LogLevel=DEBUG2", "-o", "ControlMaster=no"]
        return ["ssh", *flags, *own, *self.options(), "--", self.login]

    def rsh(self, *starter: str) -> str:
        """What rsync takes as `-e`: it splits at blanks and knows quotes. The `starter` are words of a
        program that runs ssh."""
        # Its own rule, not the shell's: a quote within quotes is written twice (rsync(1), --rsh).
        return " ".join(
            part if part == shlex.quote(part) else "'" + part.replace("'", "''") + "'"
            for part in [*starter, "ssh", *self.options()]
        )

    def connect(self, *, may_ask: bool = True) -> None:
        """Make sure that the master is up; raises ConnectError.

        Unless ssh `may_ask` its user, a login that needs an answer raises LoginError.
        """
        if _answers(self.control):
            return
        process.program("ssh", "Install OpenSSH's client, e.g. sudo apt install openssh-client.")
        with locked(self.control.with_suffix(".lock"), f"another login to {self.login}"):
            if _answers(self.control):
                return
            self.control.unlink(missing_ok=True)
            mode = [] if may_ask else ["-o", "BatchMode=yes"]
            options = ["-o", "ControlMaster=yes", *mode, *self.options()]
            result = process.run_parent(["ssh", *options, "-N", "-f", "--", self.login])
        if result.code:
            raise self.failure(result.stderr)

    def resolved(self) -> str:
        """Where the login leads by the user's configuration: account, host, port and the way there;
        empty where ssh doesn't tell. Two spellings of one login have the same."""
        config = ["-F", self.config] if self.config else []
        try:
            result = process.run(["ssh", "-G", *config, "--", self.login])
        except OSError:
            return ""
        wanted = r"(?m)^(?:user|hostname|port|proxyjump|proxycommand) .*$"
        lines = re.findall(wanted, result.stdout.decode("utf-8", "replace"))
        return "" if result.code else "\n".join(sorted(lines))

    def tell_master(self, command: str, *forward: str) -> Result:
        """Have the master `check`, `exit`, or `forward` and `cancel` a port (ssh(1), -O).

        The exit code is 0 where it did.
        """
        # Without a configuration: it may forward ports of its own, which would be meant, too.
        master = ["-F", "/dev/null", "-S", str(self.control)]
        return process.run(["ssh", *master, "-O", command, *forward, "--", self.login])

    def close(self) -> None:
        """End the master connection, if there is one."""
        if _answers(self.control):
            self.tell_master("exit")

    @property
    def answers(self) -> bool:
        """Whether the master lives and works: one that was stopped takes connections, too."""
        return _answers(self.control)

    def broken(self, stderr: str) -> ConnectError:
        """What it means that a command ended without an exit code of its own, by ssh's words."""
        for pattern, *_ in _CAUSES:
            if re.search(pattern, stderr):
                return self.failure(stderr)
        if self.answers:
            return NoAnswer(f"The process on {self.login} was killed before it was done.")
        return NoAnswer(f"The connection to {self.login} broke.")

    def failure(self, stderr: str) -> ConnectError:
        """What ssh's words mean for the user."""
        for pattern, kind, message, hint in _CAUSES:
            if re.search(pattern, stderr):
                return kind(message.format(login=self.login), self._completed(hint))
        last = process.last_line(stderr, "ssh said nothing")
        return ConnectError(f"ssh to {self.login} failed: {last}", self._completed("Try it: {ssh}"))

    def _completed(self, hint: str) -> str:
        """A hint whose commands work as typed."""
        option = f"-F {shlex.quote(self.config)} " if self.config else ""
        return hint.format(
            ssh=f"ssh {option}{self.login}",
            copy_id=f"ssh-copy-id {option}{self.login}",
            config=self.config or "~/.ssh/config",
        )


class Log:
    """What one ssh says of itself, apart from what the command says."""

    def __init__(self) -> None:
        self._file = tempfile.NamedTemporaryFile(prefix="remote-ssh-")

        #: Where ssh is to write it.
        self.path = self._file.name
        self.close = self._file.close

    @property
    def text(self) -> str:
        self._file.seek(0)
        return self._file.read().decode("utf-8", "replace")

    @property
    def tells_exit(self) -> bool:
        """Whether the server told how the command ended, to us or to a master."""
        return bool(re.search(r"Received exit status from master|rtype exit-", self.text))

    @property
    def words(self) -> str:
        """The complaints in it."""
        reports = r"(debug\d: |OpenSSH_|Authenticat|Transferred: |Bytes per second: )"
        lines = [line.strip() for line in self.text.splitlines()]
        return "\n".join(line for line in lines if line and not re.match(reports, line))


def control_folder() -> Path:
    """A folder for sockets that nobody else can write to; raises ConfigError.

    In /tmp others can have made it first, to take over our logins or to keep us from any: what is
    theirs is passed by. Nobody but us makes folders in our home.
    """
    name = f"remote-{os.getuid()}"
    bases = [TMP, Path.home() / ".cache"]
    if os.environ.get("XDG_RUNTIME_DIR"):
        bases.insert(0, Path(os.environ["XDG_RUNTIME_DIR"]))
    numbered = (TMP / f"{name}-{number}" for number in range(1, 10))
    for folder in (*(base / name for base in bases), *numbered):
        if len(os.fsencode(folder.parent)) > LONGEST_BASE or not _make_folder(folder):
            continue
        info = folder.lstat()
        if info.st_uid != os.getuid():
            continue
        if not stat.S_ISDIR(info.st_mode) or info.st_mode & 0o077:
            raise ConfigError(
                f"{folder} is not a folder that is yours alone.", "Remove it, or chmod 700 it."
            )
        return folder
    raise ConfigError(
        f"There is no place for ssh's sockets: {TMP / name} is another user's, or can't be made.",
        "Set XDG_RUNTIME_DIR to a folder of your own with a short path.",
    )


def _make_folder(folder: Path) -> bool:
    """Make it where it is missing; False where it can't be."""
    try:
        folder.mkdir(mode=0o700)
    except OSError as error:
        return isinstance(error, FileExistsError)
    return True


def _answers(control: Path) -> bool:
    """Whether a master works, asked without starting an ssh.

    It greets whoever connects (PROTOCOL.mux, MUX_MSG_HELLO), unless it was stopped.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(GREETING)
        try:
            probe.connect(str(control))
            return bool(probe.recv(1))
        except OSError:
            return False
