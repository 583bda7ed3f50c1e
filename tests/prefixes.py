"""Environments that the toolkit didn't make."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path


def make_prefix(folder: Path, programs: Mapping[str, str] = {}) -> None:
    """An environment with the packages of the tests' own, and with scripts of the shell in its `bin`."""
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/python").symlink_to(os.path.realpath(sys.executable))
    (folder / "pyvenv.cfg").write_bytes((Path(sys.prefix) / "pyvenv.cfg").read_bytes())
    (folder / "lib").symlink_to(Path(sys.prefix) / "lib")
    for name, script in programs.items():
        write_program(folder / "bin" / name, script)


def write_program(file: Path, script: str) -> None:
    """A script of the shell, in a folder that need not be there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
