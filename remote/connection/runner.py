"""Running commands: what Fabric calls a runner, with one `ssh` of the shared login as its process."""

from __future__ import annotations

import codecs
import fcntl
import os
import re
import select
import shlex
import stat
import struct
import termios
import threading
import time
from collections.abc import Callable, Generator, Mapping
from typing import IO, Any

import fabric  # type: ignore[import-untyped]
from invoke.context import Context
from invoke.runners import Local
from invoke.terminals import pty_size

from remote.transport.process import DEVNULL, PIPE, Process, start
from remote.transport.ssh import Log

#: Bytes moved at once. invoke's 1000 cut letters in two and make long outputs slow.
CHUNK = 1 << 16

#: What ssh exits with when it fails itself; a command can, too.
SSH_FAILED = 255


class OpenSsh(Local):
    """Runs a command there, by `ssh` here: Fabric's `runners.remote`.

    The command is read by the login shell there, whichever that is. `env` is added to the
    environment there; nothing of this machine's is sent (`replace_env` changes nothing).
    Its `context` is the Connection.
    """

    process: Process[bytes]
    read_chunk_size = CHUNK

    def __init__(self, context: Context, inline_env: bool | None = None) -> None:
        super().__init__(context)
        self._log: Log | None = None
        self._killed = threading.Event()

    def generate_env(self, env: dict[str, Any], replace_env: bool) -> dict[str, Any]:
        return dict(env)

    def should_use_pty(self, pty: bool = False, fallback: bool = True) -> bool:
        # invoke's Local hands our own terminal on; this one is made there, and always can be.
        return pty

    def start(self, command: str | None, shell: str, env: Mapping[str, Any]) -> None:
        line = with_environment(command, env) if env else command
        if self._disowned:
            # Nothing to read and nobody to tell: it outlives us.
            argv = self._argv(line, os.devnull)
            self.process = start(argv, stdout=DEVNULL, stderr=DEVNULL, apart=True)
            return
        self._log = Log()
        argv = self._argv(line, self._log.path)
        if self.using_pty:
            self.process, self.parent_fd = on_terminal(argv)
        else:
            self.process = start(argv, stdin=PIPE, stdout=PIPE, stderr=PIPE)
            if self.streams["in"] is False and not self.watchers:
                # A command that reads finds the end, where there is nobody to write.
                self.close_proc_stdin()

    def _argv(self, line: str | None, log: str) -> list[str]:
        # The escape character would let a line that starts with ~ end the connection.
        flags = ["-tt", "-e", "none"] if self.using_pty else []
        argv = self.context.ssh.session(*flags, log=log)
        return argv if line is None else [*argv, line]

    @property
    def process_is_finished(self) -> bool:
        return self.process.poll() is not None

    def returncode(self) -> int | None:
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

    def read_proc_stdout(self, num_bytes: int) -> bytes | None:
        stream = self.process.stdout
        return os.read(stream.fileno(), num_bytes) if stream and self._waits_for(stream) else None

    def read_proc_stderr(self, num_bytes: int) -> bytes | None:
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

    def read_our_stdin(self, input_: IO[Any]) -> str | None:
        try:
            is_at_hand = stat.S_ISREG(os.fstat(input_.fileno()).st_mode)
        except (AttributeError, OSError):
            # An object in memory.
            is_at_hand = True
        # invoke takes a hundred letters a second; what lies ready as a whole need not wait.
        if not is_at_hand:
            return super().read_our_stdin(input_)
        data = input_.read(CHUNK)
        return data.decode(self.encoding, "surrogateescape") if isinstance(data, bytes) else data

    def write_proc_stdin(self, data: str) -> None:
        # The counterpart of `read_our_stdin`: bytes that are no text arrive as they were.
        self._write_proc_stdin(data.encode(self.encoding, "surrogateescape"))

    def _write_proc_stdin(self, data: bytes) -> None:
        # As long as the terminal gathers lines and echoes them, ssh has not taken it over: it would
        # echo here and swallow control letters.
        while (
            self.using_pty
            and termios.tcgetattr(self.parent_fd)[3] & termios.ICANON
            and not self.process_is_finished
        ):
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


def on_terminal(argv: list[str]) -> tuple[Process[bytes], int]:
    """Start ssh on a terminal of its own, as large as ours; returns its other end, too.

    The terminal that the command sees is made on the server, with this one's size and modes. Its
    output comes by a pipe: this terminal would add a \\r to each line that ssh writes before it has
    switched that off.
    """
    outer, inner = os.openpty()
    try:
        columns, rows = pty_size()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        return start(argv, stdin=inner, stdout=PIPE, stderr=DEVNULL, apart=True), outer
    except BaseException:
        os.close(outer)
        raise
    finally:
        os.close(inner)


def with_environment(command: str | None, env: Mapping[str, Any]) -> str:
    """A command line that runs `command` (None: a login shell) in the login shell, with `env`.

    sh, csh and fish each quote in their own way, so that all that reaches the login shell is
    single-quoted and made of letters that mean the same to all of them. sh puts its own script
    together from these, and hands the command to the login shell as its argument, unread.
    """
    for name in env:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ValueError(f"{name!r} can't be the name of an environment variable")
    settings = shlex.join(f"{name}={value}" for name, value in env.items())
    how = "-l" if command is None else f"-c {shlex.quote(command)}"
    script = f'exec env {settings} "$SHELL" {how}'
    return f'exec sh -c \'eval "$(printf %b "{_octal(script)}")"\''


def _octal(text: str) -> str:
    """`text` for printf's %b: what isn't plain is \\0 and three octal digits."""
    data = text.encode("utf-8", "surrogateescape")
    if b"\0" in data:
        raise ValueError(f"{text!r} holds a NUL, which no command and no environment can")
    return re.sub(rb"[^A-Za-z0-9 _./:=,+-]", lambda it: b"\\0%03o" % it[0][0], data).decode("ascii")
