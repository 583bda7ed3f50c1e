"""Waiting for what other processes do, for longer than it takes on however busy a machine."""

from __future__ import annotations

import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

PATIENCE = 120.0  # seconds

Found = TypeVar("Found")


def until(
    look: Callable[[], Found],
    good: Callable[[Found], object] = bool,
    *,
    seconds: float = PATIENCE,
) -> Found:
    """What `look` finds, once it is good; fails with what it found last."""
    end = time.monotonic() + seconds
    while not good(found := look()):
        assert time.monotonic() < end, f"still {found!r}"
        time.sleep(0.05)
    return found


def until_it_answers(
    address: Callable[[], str],
    server: subprocess.Popen[bytes] | subprocess.Popen[str],
    log: Path | None = None,
    *,
    or_refuses: bool = False,
) -> None:
    """Until a server, which may take its time to print its address, gives what is asked for.

    With `or_refuses` an answer that it may not be asked for is one too.
    """

    def answers() -> bool:
        assert (
            server.poll() is None
        ), f"it ended: {log.read_text()[-800:] if log else server.args!r}"
        if not address():
            return False
        try:
            urllib.request.urlopen(address(), timeout=5).read()
            return True
        except urllib.error.HTTPError as error:
            return or_refuses and error.code < 500
        except OSError:
            return False

    until(answers)
