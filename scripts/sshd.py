"""A private sshd on loopback: throw-away keys, an ssh_config of its own, a home of its own.

The demonstration and the tests use it as their GPU server. It runs as whoever starts it, writes
only below its folder, and never reads or changes ~/.ssh.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shlex
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from remote.agent.processes import descendants, send

ALIAS = "gpu"

#: Where Debian, Fedora and Homebrew put sshd: not on everybody's PATH.
PLACES = ("/usr/sbin", "/usr/bin", "/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")

#: The program that serves sftp; sshd's own one can't follow a ForceCommand.
SFTP_SERVERS = (
    "/usr/lib/openssh/sftp-server",
    "/usr/libexec/openssh/sftp-server",
    "/usr/lib/ssh/sftp-server",
    "/usr/libexec/sftp-server",
)

_SSHD_CONFIG = """\
ListenAddress {listen}
ListenAddress ::1
Port {port}
HostKey "{folder}/host_key"
PidFile "{folder}/sshd.pid"
AuthorizedKeysFile "{folder}/client_key.pub"
# A folder below /tmp is writable by all, which StrictModes refuses.
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PubkeyAuthentication yes
PermitRootLogin prohibit-password
UseDNS no
PrintMotd no
PrintLastLog no
MaxSessions 64
MaxStartups 64:30:128
Subsystem sftp {sftp}
ForceCommand {login}
# The account's shell starts our login script: as a nested shell (bash counts them in SHLVL) it
# leaves the account's own start-up files alone.
SetEnv SHLVL=5
LogLevel VERBOSE
"""

_SSH_CONFIG = """\
Host {alias} {alias}6
  Port {port}
  User {user}
  IdentityFile "{folder}/client_key"
  IdentitiesOnly yes
  UserKnownHostsFile "{folder}/known_hosts"
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  BatchMode yes
  LogLevel ERROR
Host {alias}
  HostName {host}
Host {alias}6
  HostName ::1
"""

# sshd would use the account's own home and environment; this is a server of its own instead.
_LOGIN = """\
#!/bin/sh
cd {home} || exit 1
if [ -z "$SSH_ORIGINAL_COMMAND" ]; then set -- {shell}; else
set -- {shell} -c "$SSH_ORIGINAL_COMMAND"; fi
exec env -i {settings} SSH_CONNECTION="$SSH_CONNECTION" SSH_CLIENT="$SSH_CLIENT" TERM="$TERM" "$@"
"""


@dataclass
class PrivateSshd:
    """An sshd below `folder`, whose one account lives in `home` and logs in with `shell`."""

    folder: Path
    home: Path
    shell: str = "/bin/bash"
    path: str = "/usr/local/bin:/usr/bin:/bin"
    settings: Mapping[str, str] = field(default_factory=dict)
    port: int = 0
    listen: str = "127.0.0.1"
    host: str = "127.0.0.1"
    """By which the client knows it."""

    @property
    def config(self) -> Path:
        """The ssh_config that knows this server as `gpu` (and `gpu6`, by IPv6)."""
        return self.folder / "ssh_config"

    @property
    def pid(self) -> int:
        """The daemon's process, 0 where it does not run."""
        try:
            pid = int((self.folder / "sshd.pid").read_text())
            os.kill(pid, 0)
        except (OSError, ValueError):
            return 0
        return pid

    def start(self) -> None:
        """Start it and wait until it lets us in; raises RuntimeError with its log."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.home.mkdir(parents=True, exist_ok=True)
        self.port = self.port or free_port()
        for name in ("host_key", "client_key"):
            _make_key(self.folder / name)
        self._write()
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        sshd = [find(), "-f", str(self.folder / "sshd_config"), "-E", str(self._log)]
        done = subprocess.run(sshd, capture_output=True, text=True)
        if done.returncode or not self._lets_in():
            raise RuntimeError(f"sshd did not start: {done.stderr}{self._words()}")

    def _write(self) -> None:
        values: dict[str, object] = {"folder": self.folder, "port": self.port, "alias": ALIAS}
        values.update(listen=self.listen, host=self.host)
        values.update(sftp=next(filter(os.path.exists, SFTP_SERVERS), "internal-sftp"))
        values.update(user=getpass.getuser(), login=shlex.quote(str(self.folder / "login")))
        (self.folder / "sshd_config").write_text(_SSHD_CONFIG.format(**values))
        self.config.write_text(_SSH_CONFIG.format(**values))
        key = (self.folder / "host_key.pub").read_text().split()[:2]
        hosts = [f"[{address}]:{self.port} {' '.join(key)}\n" for address in (self.host, "::1")]
        (self.folder / "known_hosts").write_text("".join(hosts))
        self.write_login()

    def write_login(self) -> None:
        """Write the script that every login runs (again, after `shell` or `settings` changed)."""
        user = getpass.getuser()
        own = {"HOME": str(self.home), "PATH": self.path, "SHELL": self.shell}
        own.update({"USER": user, "LOGNAME": user, "LANG": "C.UTF-8"})
        settings = {**own, **self.settings}
        words = " ".join(shlex.quote(f"{key}={value}") for key, value in settings.items())
        login = self.folder / "login"
        shell, home = shlex.quote(self.shell), shlex.quote(str(self.home))
        login.write_text(_LOGIN.format(home=home, shell=shell, settings=words))
        login.chmod(0o755)

    @property
    def _log(self) -> Path:
        return self.folder / "sshd.log"

    def _words(self) -> str:
        return self._log.read_text()[-2000:] if self._log.exists() else ""

    def _lets_in(self) -> bool:
        for _ in range(50):
            argv = ["ssh", "-F", str(self.config), ALIAS, "true"]
            if subprocess.run(argv, capture_output=True).returncode == 0:
                return True
            time.sleep(0.1)
        return False

    def stop(self) -> None:
        """End the daemon and the connections that it holds open."""
        pid = self.pid
        if not pid:
            return
        send(descendants(pid), signal.SIGTERM)
        os.kill(pid, signal.SIGTERM)
        for _ in range(50):
            if not self.pid:
                return
            time.sleep(0.1)


def find() -> str:
    """sshd's full path, which it insists on; raises FileNotFoundError."""
    path = os.pathsep.join([os.environ.get("PATH", ""), *PLACES])
    found = shutil.which("sshd", path=path)
    if not found:
        raise FileNotFoundError("sshd is not installed")
    return found


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _make_key(path: Path) -> None:
    if not path.exists():
        argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "throw-away", "-f", str(path)]
        subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)


@contextlib.contextmanager
def running(server: PrivateSshd) -> Iterator[PrivateSshd]:
    """`server`, started, and stopped in the end."""
    server.start()
    try:
        yield server
    finally:
        server.stop()
