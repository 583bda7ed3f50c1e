"""The one module of the client that starts processes: argv lists, never a shell.

ruff holds it (`banned-api` in pyproject.toml). Server code starts its own, under Python 3.8.
"""

from __future__ import annotations

import contextlib
import contextvars
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NoReturn

from remote.errors import ConfigError, NoAnswer, TransferError
from remote.output import printable_lines

Process = subprocess.Popen
PIPE = subprocess.PIPE
DEVNULL = subprocess.DEVNULL

#: Bytes that are taken at once from what a process writes.
CHUNK = 1 << 16

#: Bytes of standard error that a process may write, which through ssh is the server's to fill, and
#: letters of its last line that are told.
LONGEST_ERRORS, LONGEST_LINE = 16 << 20, 1000

#: Seconds without a word after which it is asked whether any can come, and that a program may take
#: to end; seconds between two looks whether it has, where others hold its standard error.
SILENCE = 10.0
PATIENCE = 5.0
LOOK = 0.02

#: ssh's exit code where its connection broke (ssh(1)).
BROKEN = 255


class TooMuch(TransferError):
    """A process wrote more than it may; if that came by ssh, it may go on to come until the master
    is ended."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"The process was stopped: it wrote more than {limit} bytes.")


#: The moment by which what is run here has to end, and the seconds that it had.
_limit: contextvars.ContextVar[tuple[float, float] | None] = contextvars.ContextVar(
    "limit", default=None
)


@contextlib.contextmanager
def limited(seconds: float | None) -> Iterator[None]:
    """End what this thread runs in the body, and raise NoAnswer, once that took so long."""
    token = _limit.set(None if seconds is None else (time.monotonic() + seconds, seconds))
    try:
        yield
    finally:
        _limit.reset(token)


def _seconds_left() -> float | None:
    """None where there is no limit; raises NoAnswer where it is over."""
    limit = _limit.get()
    if limit is None:
        return None
    left = limit[0] - time.monotonic()
    if left <= 0:
        raise NoAnswer(f"It gave no answer within {limit[1]:g} s.")
    return left


@dataclass(frozen=True)
class Result:
    """A finished process: its exit code, and what it wrote."""

    code: int
    stdout: bytes
    stderr: str

    @property
    def complaint(self) -> str:
        """What it said last on standard error, where programs name their reason."""
        return last_line(self.stderr)


def last_line(text: str, otherwise: str = "no message") -> str:
    """The last line of a program's message; `otherwise` where it is empty.

    Escaped, since a task of the user's own may show it by a traceback.
    """
    return printable_lines((text.strip().splitlines() or [otherwise])[-1][:LONGEST_LINE])


def program(name: str, hint: str) -> str:
    """The full path of `name`; raises ConfigError with `hint` where this machine lacks it."""
    path = shutil.which(name)
    if path is None:
        raise ConfigError(f"{name} is not installed on this machine.", hint)
    return path


def run(
    argv: Sequence[str],
    *,
    stdin: bytes = b"",
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    limit: int | None = None,
) -> Result:
    """Run to the end. A non-zero exit is not an error here; the caller reads `code`.

    Raises TooMuch where more than `limit` bytes come.
    """
    output = bytearray()

    def take(piece: bytes) -> None:
        output.extend(piece)
        if limit is not None and len(output) > limit:
            raise TooMuch(limit)

    result = feed(argv, take, stdin=stdin, cwd=cwd, env=env)
    return Result(result.code, bytes(output), result.stderr)


def feed(
    argv: Sequence[str],
    reader: Callable[[bytes], None],
    *,
    stdin: bytes = b"",
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    works: Callable[[], bool] | None = None,
    lossless: bool = False,
) -> Result:
    """Run, and hand every piece of standard output to `reader` as it comes.

    Where `works` says, in a long silence, that nothing can come any more, the process is ended with
    the code BROKEN. What is no text on standard error is kept where `lossless`, by lone surrogates.
    Raises TooMuch where standard error takes more than LONGEST_ERRORS.
    """
    with tempfile.TemporaryFile() as given:
        given.write(stdin)
        given.seek(0)
        with Process(argv, stdin=given, stdout=PIPE, stderr=PIPE, cwd=cwd, env=env) as process:
            try:
                errors = _Errors(process)
                if _listen(process, reader, errors, works):
                    code = errors.read_to_end()
                else:
                    code = _end(process)
            except BaseException:
                process.terminate()
                raise
        kept = "surrogateescape" if lossless else "replace"
        return Result(code, b"", errors.text.decode("utf-8", kept))


class _Errors:
    """What a process writes on standard error.

    An ssh master may hold its pipe, for one command or for good: its end is not waited for, and
    once this end is closed, no server can go on writing.
    """

    def __init__(self, process: Process[bytes]) -> None:
        assert process.stderr is not None
        self.process, self.stream = process, process.stderr
        self.text = bytearray()
        self.is_open = True

    def read(self) -> None:
        """Take the next piece; raises TooMuch."""
        piece = os.read(self.stream.fileno(), CHUNK)
        self.is_open = bool(piece)
        self.text += piece
        if len(self.text) > LONGEST_ERRORS:
            raise TooMuch(LONGEST_ERRORS)

    def read_to_end(self) -> int:
        """Take what still comes until the process ends; its exit code."""
        while self.is_open and self.process.poll() is None:
            self.read_ready(LOOK)
        code = self.process.wait()
        while self.is_open and self.read_ready(0):
            pass
        return code

    def read_ready(self, seconds: float) -> bool:
        """Take a piece that comes in this time; whether one came."""
        is_ready = bool(select.select([self.stream], [], [], seconds)[0])
        if is_ready:
            self.read()
        return is_ready


def _listen(
    process: Process[bytes],
    reader: Callable[[bytes], None],
    errors: _Errors,
    works: Callable[[], bool] | None,
) -> bool:
    """Read to the end of standard output; False where `works` says that nothing more can come."""
    out = process.stdout
    assert out is not None
    while True:
        streams = [out, errors.stream] if errors.is_open else [out]
        left = _seconds_left()
        ready = select.select(streams, [], [], SILENCE if left is None else min(left, SILENCE))[0]
        if errors.stream in ready:
            errors.read()
        if out in ready:
            piece = os.read(out.fileno(), CHUNK)
            if not piece:
                return True
            reader(piece)
        if not ready and works and not works():
            return False


def _end(process: Process[bytes]) -> int:
    """End one from which nothing comes any more; rsync ends its ssh when it is asked to."""
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
    return BROKEN


def run_parent(argv: Sequence[str]) -> Result:
    """Run what leaves a process behind, as ssh does its master.

    Standard output is thrown away: the one that stays would hold a pipe open for ever.
    """
    with tempfile.TemporaryFile() as errors:
        left = _seconds_left()
        try:
            code = subprocess.call(argv, stdin=DEVNULL, stdout=DEVNULL, stderr=errors, timeout=left)
        except subprocess.TimeoutExpired:
            _seconds_left()
            raise
        return Result(code, b"", _text(errors))


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    # A read of more than there is would take the memory for that.
    length = min(os.fstat(file.fileno()).st_size, LONGEST_ERRORS)
    return file.read(length).decode("utf-8", "replace")


def start(
    argv: Sequence[str],
    *,
    stdin: int = DEVNULL,
    stdout: int | None = None,
    stderr: int | None = None,
    apart: bool = False,
) -> Process[bytes]:
    """Start it, and leave it to the caller; where `apart`, the terminal's Ctrl-C doesn't reach it.

    A stream is inherited where None is given.
    """
    return Process(argv, stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=apart)


def in_terminal(argv: Sequence[str], *, env: Mapping[str, str]) -> int:
    """Run what talks with the user in this terminal, to its end; Ctrl-C reaches it alone."""
    # Not ignored: that would be inherited.
    handler = signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        return subprocess.call(argv, env=env)
    finally:
        signal.signal(signal.SIGINT, handler)


def become(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    hint: str = "",
) -> NoReturn:
    """Let another program take this process's place; raises ConfigError where it can't be started."""
    sys.stdout.flush()
    if cwd:
        os.chdir(cwd)
    try:
        os.execvpe(argv[0], list(argv), os.environ if env is None else env)
    except OSError as error:
        raise ConfigError(f"{argv[0]} can't be started: {error.strerror}.", hint) from None
