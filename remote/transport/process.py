"""The one module of the client that starts processes: argv lists, never a shell.

ruff holds it (`banned-api` in pyproject.toml). Server code starts its own, under Python 3.8.
"""

from __future__ import annotations

import functools
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NoReturn

from remote.errors import ConfigError, TransferError

Process = subprocess.Popen
PIPE = subprocess.PIPE
DEVNULL = subprocess.DEVNULL

#: Bytes that are taken at once from what a process writes.
CHUNK = 1 << 16

#: Bytes of standard error that a process may write, which through ssh is the server's to fill, and
#: letters of its last line that are told.
LONGEST_ERRORS, LONGEST_LINE = 16 << 20, 1000

#: Seconds without a word after which it is asked whether any can come, and that a program may take
#: to end; seconds between two looks at what stands on its standard error.
SILENCE = 10.0
PATIENCE = 5.0
LOOK = 1.0

#: ssh's exit code where its connection broke (ssh(1)).
BROKEN = 255


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
    """The last line of a program's message; `otherwise` where it is empty."""
    return (text.strip().splitlines() or [otherwise])[-1][:LONGEST_LINE]


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

    Raises TransferError where more than `limit` bytes come.
    """
    output = bytearray()

    def take(piece: bytes) -> None:
        output.extend(piece)
        if limit is not None and len(output) > limit:
            raise _too_much(argv, limit)

    result = feed(argv, take, stdin=stdin, cwd=cwd, env=env)
    return Result(result.code, bytes(output), result.stderr)


def _too_much(argv: Sequence[str], limit: int) -> TransferError:
    return TransferError(f"{argv[0]} was ended: it wrote more than {limit} bytes.")


def feed(
    argv: Sequence[str],
    reader: Callable[[bytes], None],
    *,
    stdin: bytes = b"",
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    works: Callable[[], bool] | None = None,
) -> Result:
    """Run, and hand every piece of standard output to `reader` as it comes.

    Where `works` says, in a long silence, that nothing can come any more, the process is ended with
    the code BROKEN. Standard input and error go through files: an ssh master that a command leaves
    behind would hold pipes open, and waiting for their end would wait for the master. Raises
    TransferError where standard error takes more than LONGEST_ERRORS.
    """
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as errors:
        given.write(stdin)
        given.seek(0)
        with Process(argv, stdin=given, stdout=PIPE, stderr=errors, cwd=cwd, env=env) as process:
            try:
                out = process.stdout
                assert out is not None
                check = functools.partial(_check_errors, argv, errors)
                while _is_heard(out, works, check):
                    piece = os.read(out.fileno(), CHUNK)
                    if not piece:
                        code = _await_end(process, check)
                        break
                    reader(piece)
                else:
                    code = _end(process)
            except BaseException:
                process.terminate()
                raise
        return Result(code, b"", _text(errors))


def _end(process: Process[bytes]) -> int:
    """End one from which nothing comes any more; rsync ends its ssh when it is asked to."""
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
    return BROKEN


def _is_heard(out: IO[bytes], works: Callable[[], bool] | None, check: Callable[[], None]) -> bool:
    """Wait for what comes next, if only the end; False where `works` says that nothing can.

    `check` is called again and again meanwhile.
    """
    deadline = time.monotonic() + SILENCE
    while not select.select([out], [], [], min(LOOK, SILENCE))[0]:
        check()
        if works and time.monotonic() > deadline:
            if not works():
                return False
            deadline = time.monotonic() + SILENCE
    check()
    return True


def _await_end(process: Process[bytes], check: Callable[[], None]) -> int:
    """The exit code of one that says nothing more on standard output."""
    while True:
        try:
            return process.wait(LOOK)
        except subprocess.TimeoutExpired:
            check()


def _check_errors(argv: Sequence[str], errors: IO[bytes]) -> None:
    if _length(errors) > LONGEST_ERRORS:
        raise _too_much(argv, LONGEST_ERRORS)


def run_parent(argv: Sequence[str]) -> Result:
    """Run what leaves a process behind, as ssh does its master.

    Standard output is thrown away: the one that stays would hold a pipe open for ever.
    """
    with tempfile.TemporaryFile() as errors:
        code = subprocess.call(argv, stdin=DEVNULL, stdout=DEVNULL, stderr=errors)
        return Result(code, b"", _text(errors))


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    # A read of more than there is would take the memory for that.
    return file.read(min(_length(file), LONGEST_ERRORS)).decode("utf-8", "replace")


def _length(file: IO[bytes]) -> int:
    return os.fstat(file.fileno()).st_size


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
