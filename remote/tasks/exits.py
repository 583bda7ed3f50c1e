"""How tasks speak: errors become exit codes here and nowhere else; numbers become words."""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from invoke.exceptions import Exit

from remote.errors import RemoteError
from remote.output import size

__all__ = ["duration", "plural", "say", "size", "told"]

Body = TypeVar("Body", bound=Callable[..., Any])


def told(body: Body) -> Body:
    """Turn the errors meant for the user into a message and exit code 2, Ctrl-C into 130.

    A reader that has gone (`inv remote-ps | head`) ends the task silently, as it ends `cat`.
    """

    @functools.wraps(body)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            result = body(*args, **kwargs)
            sys.stdout.flush()
            return result
        except RemoteError as error:
            raise Exit(str(error), code=2) from None
        except KeyboardInterrupt:
            raise Exit("Interrupted.", code=130) from None
        except BrokenPipeError:
            # What Python still holds for standard output goes nowhere when it exits.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise Exit(code=128 + signal.SIGPIPE) from None

    return wrapped  # type: ignore[return-value]


def say(text: str) -> None:
    """A line for the user that is no result: on standard error."""
    print(text, file=sys.stderr, flush=True)


def plural(count: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def duration(seconds: float) -> str:
    """`4 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole // 60 % 60:02d} min"
