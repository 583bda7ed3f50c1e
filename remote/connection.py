"""What a user's own tasks get: a `fabric.Connection` whose wire is the system's OpenSSH.

Commands, files and forwarded ports share the login that rsync uses (see `remote.ssh`). Of paramiko
only its SFTP client works here, on the standard streams of `ssh -s`; its transport, its reading of
ssh_config and its way with host keys never do. Importing fabric takes 0.4 s: import this module
only where it is needed.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import fcntl
import os
import re
import select
import socket
import stat
import struct
import subprocess
import tempfile
import termios
import threading
import time
from pathlib import Path
from typing import IO, Any, Callable, Generator, Iterator, Mapping, Optional, Sequence

import fabric  # type: ignore[import-untyped]
from fabric.transfer import Result as TransferResult  # type: ignore[import-untyped]
from fabric.transfer import Transfer
from invoke.context import Context
from invoke.runners import Local
from invoke.terminals import pty_size
from paramiko.config import SSHConfig  # type: ignore[import-untyped]
from paramiko.sftp import SFTPError  # type: ignore[import-untyped]
from paramiko.sftp_client import SFTPClient  # type: ignore[import-untyped]
from paramiko.ssh_exception import SSHException  # type: ignore[import-untyped]

from remote import process
from remote.config import find_project
from remote.errors import ConfigError, ConnectError
from remote.ssh import Ssh
from remote.target import Target

#: Bytes moved at once. invoke's 1000 cut letters in two and make long outputs slow.
CHUNK = 1 << 16

_NOTHING = subprocess.DEVNULL

#: What ssh exits with when it fails itself; a command can, too.
SSH_FAILED = 255


def connect(target: str = "") -> Connection:
    """The server of this project (TARGET_DIR) or of `target`; it logs in at the first use.

    Raises ConfigError where the target is a folder of this machine.
    """
    project = find_project()
    place = project.target(target)
    return Connection(place, project.settings.get("REMOTE_SSH_CONFIG", ""))


class Connection(fabric.Connection):  # type: ignore[misc]
    """Fabric's connection to the host of `target`.

    `ssh` is the wire, `target` the project's place there: `with c.cd(c.target.path): …`. Closing
    ends what this connection began; the shared login stays, for rsync and for other commands
    (`c.ssh.close()` ends it for all of them).
    """

    # Fabric's objects keep attributes that the class does not name in their configuration.
    ssh: Ssh = None  # type: ignore[assignment]
    target: Target = None  # type: ignore[assignment]
    _opened = False
    _sftp: Optional[Sftp] = None

    def __init__(self, target: Target, ssh_config: str = "") -> None:
        if target.is_local:
            raise ConfigError(
                f"{str(target)!r} is a folder of this machine: there is no server to connect to.",
                "Set TARGET_DIR=user@host:/dir.",
            )
        super().__init__(target.host, user=target.user or None, config=_config())
        self.ssh = Ssh.to(target, ssh_config)
        self.target = target
        # Its policy is to trust every host key: nobody shall connect it by accident.
        self.client = None

    def _identity(self) -> tuple[Any, ...]:
        """Which server this is; one alias means different servers in two ssh_config files."""
        return (self.host, self.user, self.port, self.ssh.config)

    @property
    def is_connected(self) -> bool:
        """Whether this connection is open, and the login behind it alive."""
        return self._opened and self._master("check").code == 0

    def open(self) -> None:
        """Log in, unless somebody of this machine did already; raises ConnectError."""
        self.ssh.connect()
        self._opened = True

    def close(self) -> None:
        """End what this connection began; the shared login stays."""
        self._opened = False
        if self._sftp is not None:
            self._sftp.close()
            self._sftp = None

    def create_session(self) -> None:
        """Refused: Fabric would return a channel of paramiko's."""
        raise NotImplementedError("OpenSSH is the wire here: there are no paramiko channels.")

    def sftp(self) -> SFTPClient:
        """paramiko's SFTP client over `ssh -s`: listdir, stat, open …; raises ConnectError."""
        if self._sftp is not None and self._sftp.ended:
            self.close()
        if self._sftp is None:
            self.open()
            self._sftp = Sftp.start(self.ssh)
        return self._sftp

    def put(self, local: Any, remote: Optional[str] = None, preserve_mode: bool = True) -> Any:
        """Upload a file or a file-like object; returns fabric.transfer.Result.

        `remote` is taken letter by letter, from the home there (no ~, no wildcards).
        """
        if isinstance(local, os.PathLike):
            local = os.fspath(local)
        if isinstance(local, str) and os.path.isdir(local):
            raise _is_folder(local, "put sends single files; make sync-push sends folders")
        with self._telling(remote or local):
            return Transfer(self).put(local, remote, preserve_mode)

    def get(self, remote: str, local: Any = None, preserve_mode: bool = True) -> TransferResult:
        """Download a file; returns fabric.transfer.Result.

        A `local` string may hold {host}, {user}, {port}, {dirname}, {basename}; a Path or a
        file-like object is taken as it is. What is here is not touched if `remote` is missing.
        """
        with self._telling(remote):
            if remote and stat.S_ISDIR(self.sftp().stat(remote).st_mode or 0):
                raise _is_folder(remote, "get brings single files; make sync-pull brings folders")
            return Transfer(self).get(remote, _local_template(local), preserve_mode)

    @contextlib.contextmanager
    def _telling(self, path: Any) -> Iterator[None]:
        """Name the file in errors that lack it; a lost connection is a ConnectError."""
        try:
            yield
        except (EOFError, SSHException, BrokenPipeError, ConnectionResetError) as error:
            raise self.ssh.failure("the connection was lost during the transfer") from error
        except OSError as error:
            if error.filename is not None:
                raise
            if error.errno is None:
                raise OSError(f"{error}: {path!r}") from error
            raise OSError(error.errno, error.strerror, path) from error

    @contextlib.contextmanager
    def forward_local(
        self,
        local_port: int,
        remote_port: Optional[int] = None,
        remote_host: str = "localhost",
        local_host: str = "localhost",
    ) -> Iterator[None]:
        """Listen on `local_port` here and lead it to `remote_port` there, while the block runs."""
        # ssh is content with one of localhost's two addresses; a port that is taken on the other
        # would go unnoticed.
        here = "127.0.0.1" if local_host == "localhost" else local_host
        ends = _place(here, local_port), _place(remote_host, remote_port or local_port)
        with self._forwarding("-L", ":".join(ends)):
            yield

    @contextlib.contextmanager
    def forward_remote(
        self,
        remote_port: int,
        local_port: Optional[int] = None,
        remote_host: str = "127.0.0.1",
        local_host: str = "localhost",
    ) -> Iterator[None]:
        """Listen on `remote_port` there and lead it to `local_port` here, while the block runs."""
        ends = _place(remote_host, remote_port), _place(local_host, local_port or remote_port)
        with self._forwarding("-R", ":".join(ends)):
            yield

    @contextlib.contextmanager
    def _forwarding(self, flag: str, ends: str) -> Iterator[None]:
        self.open()
        with _holding(self.ssh):
            if self._master("forward", flag, ends).code:
                raise ConnectError(
                    f"The port can't be forwarded (ssh {flag} {ends}).",
                    "Is it in use already? Choose another one.",
                )
            try:
                yield
            finally:
                self._master("cancel", flag, ends)

    def _master(self, verb: str, *forward: str) -> process.Result:
        """Tell the master something. Without a configuration: it may forward ports by itself."""
        control = str(self.ssh.control)
        options = ["-F", "/dev/null", "-S", control, "-O", verb, *forward]
        return process.run(["ssh", *options, "--", self.ssh.login])


class OpenSsh(Local):
    """Runs a command there, by `ssh` here: Fabric's `runners.remote`.

    The command is read by the login shell there, whichever that is. `env` is added to the
    environment there; nothing of this machine's is sent (`replace_env` changes nothing).
    """

    context: Connection
    process: subprocess.Popen[bytes]
    read_chunk_size = CHUNK

    def __init__(self, context: Context, inline_env: Optional[bool] = None) -> None:
        super().__init__(context)
        self._log: Optional[Log] = None
        self._killed = threading.Event()

    def generate_env(self, env: dict[str, Any], replace_env: bool) -> dict[str, Any]:
        return dict(env)

    def should_use_pty(self, pty: bool = False, fallback: bool = True) -> bool:
        # invoke's Local hands our own terminal on; this one is made there, and always can be.
        return pty

    def start(self, command: Optional[str], shell: str, env: Mapping[str, Any]) -> None:
        line = with_environment(command, env) if env else command
        if self._disowned:
            # Nothing to read and nobody to tell: it outlives us.
            argv = self._argv(line, os.devnull)
            self.process = _start(argv, _NOTHING, _NOTHING, _NOTHING, apart=True)
            return
        self._log = Log()
        argv = self._argv(line, self._log.path)
        if self.using_pty:
            self.process, self.parent_fd = _on_terminal(argv)
        else:
            self.process = _start(argv, subprocess.PIPE, subprocess.PIPE, subprocess.PIPE)
            self._close_unused_stdin()

    def _argv(self, line: Optional[str], log: str) -> list[str]:
        # The escape character would let a line that starts with ~ end the connection.
        flags = ["-tt", "-e", "none"] if self.using_pty else []
        argv = ssh_argv(self.context.ssh, *flags, log=log)
        return argv if line is None else [*argv, line]

    def _close_unused_stdin(self) -> None:
        """A command that reads finds the end, where there is nobody to write."""
        if self.streams["in"] is False and not self.watchers:
            self.close_proc_stdin()

    @property
    def process_is_finished(self) -> bool:
        return self.process.poll() is not None

    def returncode(self) -> Optional[int]:
        """The command's exit code, 255 also where a signal ended it; raises ConnectError."""
        code = self.process.returncode
        assert self._log is not None
        if code == SSH_FAILED and not self._log.tells_exit:
            words = self._log.words
            # A signal's death is not reported to us: then all is well with the connection.
            if words or not self.context.is_connected:
                lost = "the connection was lost while the command ran"
                raise self.context.ssh.failure(words or lost)
        return code

    def generate_result(self, **kwargs: Any) -> fabric.Result:
        return fabric.Result(connection=self.context, **kwargs)

    def read_proc_output(self, reader: Callable[[int], Any]) -> Generator[str, None, None]:
        # invoke decodes piece by piece, which spoils a letter that lies across two of them.
        decoder = codecs.getincrementaldecoder(self.encoding)("replace")
        while data := reader(self.read_chunk_size):
            yield decoder.decode(data)
        yield decoder.decode(b"", True)

    def read_proc_stdout(self, num_bytes: int) -> Optional[bytes]:
        stream = self.parent_fd if self.using_pty else self.process.stdout
        return super().read_proc_stdout(num_bytes) if self._waits_for(stream) else None

    def read_proc_stderr(self, num_bytes: int) -> Optional[bytes]:
        return super().read_proc_stderr(num_bytes) if self._waits_for(self.process.stderr) else None

    def _waits_for(self, stream: Any) -> bool:
        """Whether `stream` has something to read, or its end.

        Once ssh is killed, nobody waits: the master holds the streams until the command ends.
        """
        while not self._killed.is_set():
            if select.select([stream], [], [], 0.1)[0]:
                return True
        return False

    def respond(self, buffer_: list[str]) -> None:
        # invoke joins all that was said so far, for each piece, even where nobody listens.
        if self.watchers:
            super().respond(buffer_)

    def read_our_stdin(self, input_: IO[Any]) -> Optional[str]:
        # invoke takes a hundred letters a second; what lies ready as a whole need not wait.
        if not _is_at_hand(input_):
            return super().read_our_stdin(input_)
        data = input_.read(CHUNK)
        return data.decode(self.encoding, "surrogateescape") if isinstance(data, bytes) else data

    def write_proc_stdin(self, data: str) -> None:
        # The counterpart of `read_our_stdin`: bytes that are no text arrive as they were.
        self._write_proc_stdin(data.encode(self.encoding, "surrogateescape"))

    def _write_proc_stdin(self, data: bytes) -> None:
        # Before ssh has taken the terminal over, it would echo here and swallow control letters.
        while self.using_pty and _is_cooked(self.parent_fd) and not self.process_is_finished:
            time.sleep(self.input_sleep)
        super()._write_proc_stdin(data)

    def send_interrupt(self, interrupt: KeyboardInterrupt) -> None:
        if self.using_pty:
            return super().send_interrupt(interrupt)
        # Without a terminal there is no way to send it on: do as ssh does.
        self.kill()
        raise interrupt

    def kill(self) -> None:
        self._killed.set()
        self.process.kill()

    def stop(self) -> None:
        super().stop()
        if self._log:
            self._log.close()
        if not hasattr(self, "process"):
            return
        if not self.process_is_finished:
            self.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream:
                stream.close()


class OpenSshShell(OpenSsh):
    """Runs the login shell there, and takes any exit code of it, as Fabric's documents promise."""

    def run(self, command: str, **kwargs: Any) -> Any:
        return super().run(command, **{**kwargs, "warn": True})


class Log:
    """What one ssh says of itself, apart from what the command says."""

    def __init__(self) -> None:
        self._file = tempfile.NamedTemporaryFile(prefix="remote-ssh-")

    @property
    def path(self) -> str:
        """Where ssh is to write it."""
        return self._file.name

    def close(self) -> None:
        """Remove it."""
        self._file.close()

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
        tales = r"(debug\d: |OpenSSH_|Authenticat|Transferred: |Bytes per second: )"
        lines = [line.strip() for line in self.text.splitlines()]
        return "\n".join(line for line in lines if line and not re.match(tales, line))


class Sftp(SFTPClient):  # type: ignore[misc]
    """paramiko's SFTP client, spoken through `ssh -s`: file names never meet a shell."""

    process: subprocess.Popen[bytes]

    @classmethod
    def start(cls, ssh: Ssh) -> Sftp:
        """Open a session; raises ConnectError."""
        ours, theirs = socket.socketpair()
        with contextlib.closing(Log()) as log:
            with theirs:
                argv = [*ssh_argv(ssh, "-s", log=log.path), "sftp"]
                child = _start(argv, theirs, theirs, _NOTHING, apart=True)
            wire = _Wire(fileno=ours.detach())
            try:
                client = cls(wire)
            except (EOFError, OSError, SSHException, SFTPError) as error:
                wire.close()
                child.kill()
                child.wait()
                raise _no_sftp(ssh, log.words) from error
        client.process = child
        return client

    @property
    def ended(self) -> bool:
        """Whether the session is over, by itself or by `close`."""
        return self.process.poll() is not None

    def close(self) -> None:
        """End the session; what was written is written."""
        super().close()
        self.process.kill()
        self.process.wait()


class _Wire(socket.socket):
    """A socket that knows the two things more that paramiko asks of a channel."""

    def recv_ready(self) -> bool:
        """Whether a read would not wait."""
        return bool(select.select([self], [], [], 0)[0])

    def get_name(self) -> str:
        """A name for paramiko's log."""
        return "ssh"


def ssh_argv(ssh: Ssh, *flags: str, log: str = os.devnull) -> list[str]:
    """argv of an ssh that uses the master; a command may follow.

    The log's level lets an exit code of the command's be told from one of ssh's. This ssh never
    becomes a master itself: one that stays behind would hold our streams open.
    """
    own = ["-E", log, "-o", "LogLevel=DEBUG2", "-o", "ControlMaster=no"]
    return ["ssh", *flags, *own, *ssh.options(), "--", ssh.login]


def with_environment(command: Optional[str], env: Mapping[str, Any]) -> str:
    """A command line that runs `command` (None: a login shell) in the login shell, with `env`.

    sh, csh and fish each quote in their own way, so that all that reaches the login shell is
    single-quoted and made of letters that mean the same to all of them. sh and its printf put the
    values together, and hand the command to the login shell as its argument, unread.
    """
    words = [f"{_name(name)}={value}" for name, value in env.items()]
    settings = " ".join(f'"${{{number}%x}}"' for number in range(1, len(words) + 1))
    how = "-l"
    if command is not None:
        words.append(command)
        how = f'-c "${{{len(words)}%x}}"'
    given = " ".join(f'"$(printf %b "{_octal(word)}x")"' for word in words)
    return f"exec sh -c 'set -- {given}; exec env {settings} \"$SHELL\" {how}'"


def _name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError(f"{name!r} can't be the name of an environment variable")
    return name


def _octal(text: str) -> str:
    """`text` for printf's %b: what isn't plain is \\0 and three octal digits."""
    data = text.encode("utf-8", "surrogateescape")
    if b"\0" in data:
        raise ValueError(f"{text!r} holds a NUL, which no command and no environment can")
    return re.sub(rb"[^A-Za-z0-9 _./:=,+-]", lambda it: b"\\0%03o" % it[0][0], data).decode("ascii")


def _config() -> fabric.Config:
    """Fabric's settings, with our runners; an empty ssh_config keeps it from reading any."""
    runners = {"remote": OpenSsh, "remote_shell": OpenSshShell}
    return fabric.Config(ssh_config=SSHConfig(), overrides={"runners": runners})


def _on_terminal(argv: Sequence[str]) -> tuple[subprocess.Popen[bytes], int]:
    """Start ssh on a terminal of its own, as large as ours; returns its other end, too.

    The terminal that the command sees is made on the server, with this one's size and modes.
    """
    outer, inner = os.openpty()
    try:
        _set_size(inner, *pty_size())
        return _start(argv, inner, inner, _NOTHING, apart=True), outer
    except BaseException:
        os.close(outer)
        raise
    finally:
        os.close(inner)


def _set_size(terminal: int, columns: int, rows: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def _is_cooked(terminal: int) -> bool:
    modes: int = termios.tcgetattr(terminal)[3]
    return bool(modes & termios.ICANON)


def _start(
    argv: Sequence[str], stdin: Any, stdout: Any, stderr: Any, *, apart: bool = False
) -> subprocess.Popen[bytes]:
    """Start a process; `apart`, so that the terminal's ^C does not reach it."""
    return subprocess.Popen(
        list(argv), stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=apart
    )


@contextlib.contextmanager
def _holding(ssh: Ssh) -> Iterator[None]:
    """Keep the master up: it counts sessions, not forwarded ports, when it looks for idleness."""
    argv = [*ssh_argv(ssh), "cat"]
    with _start(argv, subprocess.PIPE, _NOTHING, _NOTHING, apart=True) as held:
        try:
            yield
        finally:
            held.kill()


def _is_at_hand(stream: IO[Any]) -> bool:
    """Whether reading `stream` never waits for somebody: a file, or an object in memory."""
    try:
        return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except (AttributeError, OSError):
        return True


def _local_template(local: Any) -> Any:
    """Fabric's template for the local file. A name from the server is never read as one."""
    if not local:
        return "{basename}"
    if isinstance(local, Path):
        local = str(local).replace("{", "{{").replace("}", "}}")
    if isinstance(local, str) and os.path.isdir(local.replace("{{", "{").replace("}}", "}")):
        return os.path.join(local, "")
    return local


def _is_folder(path: str, advice: str) -> IsADirectoryError:
    return IsADirectoryError(errno.EISDIR, f"It is a folder ({advice})", path)


def _no_sftp(ssh: Ssh, words: str) -> ConnectError:
    if words and "subsystem" not in words:
        return ssh.failure(words)
    return ConnectError(
        f"{ssh.login} does not answer to SFTP.",
        f"Try it: sftp {ssh.login}. A start-up file that prints something there breaks it, too.",
    )


def _place(host: str, port: int) -> str:
    return f"[{host}]:{port}"
