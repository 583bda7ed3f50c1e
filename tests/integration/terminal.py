"""A command in a terminal of the test's own."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import INV, ProjectFolder


@dataclass
class Terminal:
    """What somebody at the keyboard sees and types."""

    master: int
    process: subprocess.Popen[bytes]
    seen: bytes = b""

    def until(self, words: bytes, seconds: float = 30) -> None:
        """Read on until `words` were shown."""
        deadline = time.monotonic() + seconds
        while words not in self.seen:
            assert time.monotonic() < deadline, self.seen[-2000:]
            self.seen += os.read(self.master, 1 << 16)

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def end(self, keys: bytes = b"", seconds: float = 120) -> int:
        """Read on until the command has ended, typing `keys` now and then; its exit code."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < deadline:
            # A terminal that was just opened may miss a key. Typed faster than they are answered, keys
            # come to what is left when the command has ended.
            self.type(keys)
            again = time.monotonic() + 1.0
            while self.process.poll() is None and time.monotonic() < again:
                self._read_for(0.1)
        assert self.process.poll() is not None, self.seen[-2000:]
        return self.process.returncode

    def _read_for(self, seconds: float) -> None:
        ready, _, _ = select.select([self.master], [], [], seconds)
        with contextlib.suppress(OSError):
            self.seen += os.read(self.master, 1 << 16) if ready else b""


@contextlib.contextmanager
def in_terminal(
    argv: Sequence[str], env: Mapping[str, str], cwd: Path | None = None
) -> Iterator[Terminal]:
    """A program in a terminal; it is killed at the end, should it still run."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        argv, cwd=cwd, env=env, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    )
    os.close(slave)
    try:
        yield Terminal(master, process)
    finally:
        process.kill()
        process.wait()
        os.close(master)


@contextlib.contextmanager
def inv_in_terminal(project: ProjectFolder, *words: str, **env: str) -> Iterator[Terminal]:
    """`inv` in a terminal."""
    own = {**os.environ, **project.env, "TERM": "xterm", **env}
    with in_terminal([str(INV), *words], own, project.root) as terminal:
        yield terminal
