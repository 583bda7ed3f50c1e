"""The one module of the client that starts processes: argv lists, never a shell."""

from __future__ import annotations

import io
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from remote.errors import ConfigError


@dataclass(frozen=True)
class Result:
    """What a finished process was and said."""

    argv: tuple[str, ...]
    code: int
    stdout: bytes
    stderr: str


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
) -> Result:
    """Run to the end. A non-zero exit is not an error here; the caller reads `code`."""
    parts: list[bytes] = []
    return feed(argv, parts.append, stdin=stdin, cwd=cwd, env=env, collected=parts)


def feed(
    argv: Sequence[str],
    reader: Callable[[bytes], None],
    *,
    stdin: bytes = b"",
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    collected: Sequence[bytes] = (),
) -> Result:
    """Run, and hand every piece of standard output to `reader` as it comes.

    Standard input and error go through files: an ssh master that a command leaves behind would
    hold pipes open, and waiting for their end would wait for the master.
    """
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as errors:
        given.write(stdin)
        given.seek(0)
        with subprocess.Popen(
            list(argv), stdin=given, stdout=subprocess.PIPE, stderr=errors, cwd=cwd, env=env
        ) as process:
            try:
                out = process.stdout
                assert isinstance(out, io.BufferedReader)
                for piece in iter(lambda: out.read1(1 << 16), b""):
                    reader(piece)
                code = process.wait()
            except BaseException:
                process.terminate()
                raise
        errors.seek(0)
        text = errors.read().decode("utf-8", "replace")
    return Result(tuple(argv), code, b"".join(collected), text)
