"""Waiting for what other processes do, for longer than it takes on however busy a machine."""

from __future__ import annotations

import contextlib
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import TypeVar

PATIENCE = 120.0  # seconds

Found = TypeVar("Found")


def until(look: Callable[[], Found], good: Callable[[Found], object] = bool) -> Found:
    """What `look` finds, once it is good; fails with what it found last."""
    end = time.monotonic() + PATIENCE
    while not good(found := look()):
        assert time.monotonic() < end, f"still {found!r}"
        time.sleep(0.05)
    return found


def until_it_answers(address: Callable[[], str], server: "subprocess.Popen[bytes]") -> None:
    """Until a server, which may take its time to print its address, gives any answer but an error."""

    def answers() -> bool:
        assert server.poll() is None, f"it ended: {server.args!r}"
        if not address():
            return False
        with contextlib.suppress(OSError):
            try:
                urllib.request.urlopen(address(), timeout=5).read()
                return True
            except urllib.error.HTTPError as error:
                return error.code < 500
        return False

    until(answers)
