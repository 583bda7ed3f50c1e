"""What the tests of the agent's calls share."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from remote.job.messages.target import PrepareAnswer, PrepareRequest
from remote.rpc.client import Agent

KEY = "0" * 16


def installed_python(version: str) -> Path:
    """A Python of that version, where pyenv has put one into the account's own home."""
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    found = sorted(home.glob(f".pyenv/versions/{version}.*/bin/python"))
    if not found:
        pytest.skip(f"there is no Python {version} in ~/.pyenv/versions")
    return found[0]


def prepare(caller: Agent, path: Path) -> PrepareAnswer:
    return caller.call(PrepareRequest(path=str(path), key=KEY, project="a" * 32))
