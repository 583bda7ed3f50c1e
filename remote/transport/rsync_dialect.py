"""What this machine's rsync can do: a Mac's is openrsync, or the 2.6.9 of 2006.

It is asked once for each version of the program, and noted in the home of the user.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
from dataclasses import dataclass
from pathlib import Path

from remote.errors import ProtocolError
from remote.job import fields
from remote.job.paths import CACHE
from remote.job.struct import Struct
from remote.transport import process

INSTALL = "sudo apt-get install rsync (macOS: brew install rsync)"

#: What the --help of no version lists, and 3.0 and newer take.
UNLISTED = ("--no-inc-recursive",)


@dataclass(frozen=True)
class Dialect:
    """The long options that an rsync has."""

    options: frozenset[str]

    @classmethod
    def of(cls, help_text: str) -> Dialect:
        """Read the output of `rsync --help`."""
        return cls(frozenset(re.findall(r"--[a-z0-9][a-z0-9-]*", help_text)))

    @property
    def negates(self) -> bool:
        """Whether it surely knows rules of what a pattern doesn't fit (`+! PATTERN`).

        One that passed over the mark would let through what fits: it takes an option of the same
        program that no other has.
        """
        return bool(self.only("--no-inc-recursive"))

    def only(self, *options: str) -> list[str]:
        """Those of `options` that are there; `--name=value` counts by its name."""
        return [option for option in options if option.split("=")[0] in self.options]


class NotedDialect(Struct):
    """`rsync.json` in the cache: what was last found out, and of which program."""

    program: str = fields.text(fields.NAME)
    options: tuple[str, ...] = fields.names()


def dialect() -> Dialect:
    """What this machine's rsync can do; raises ConfigError where there is none."""
    return _noted(process.program("rsync", f"Install it: {INSTALL}."))


@functools.cache
def _noted(program: str) -> Dialect:
    status, file = os.stat(program), Path.home() / CACHE / "rsync.json"
    identity = f"{os.path.realpath(program)} {status.st_size} {status.st_mtime_ns}"
    with contextlib.suppress(ProtocolError):
        noted = NotedDialect.from_file(file)
        if noted and noted.program == identity:
            return Dialect(frozenset(noted.options))
    known = _asked(program)
    if known.options:
        # It only spares questions.
        with contextlib.suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            NotedDialect(program=identity, options=tuple(sorted(known.options))).to_file(file)
    return known


def _asked(program: str) -> Dialect:
    listed = process.run([program, "--help"])
    text = listed.stdout.decode("utf-8", "replace") + listed.stderr
    # An unknown option ends every version with an error, wherever --version stands.
    taken = [name for name in UNLISTED if not process.run([program, name, "--version"]).code]
    return Dialect(Dialect.of(text).options | set(taken))
