"""How tasks end: with a message and an exit code, or with the traceback of a bug."""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from invoke.exceptions import Exit

from remote.errors import RemoteError
from remote.files import full_disk, refused_path
from remote.next_steps import complete
from remote.output import ask, printable_lines, say

Body = TypeVar("Body", bound=Callable[..., Any])

#: Letters and lines of an error that are shown: the last words of a log are the longest.
LONGEST_MESSAGE, MESSAGE_LINES = 4000, 25


def exit_on_error(body: Body) -> Body:
    """Turn the errors meant for the user into a message and exit code 2, Ctrl-C into 130.

    A reader that has gone (`inv remote-ps | head`) ends the task silently, as it ends `cat`.
    Everything else is a bug, and keeps its traceback, which may quote what a server said.
    """

    @functools.wraps(body)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            result = body(*args, **kwargs)
            sys.stdout.flush()
            return result
        except BrokenPipeError:
            # What Python still holds for standard output goes nowhere when it exits.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise Exit(code=128 + signal.SIGPIPE) from None
        except BaseException as error:
            exit = exit_of(error)
            if exit is None:
                sys.excepthook = _say_traceback
                raise
            raise exit from None

    return wrapped  # type: ignore[return-value]


def exit_of(error: BaseException) -> Exit | None:
    """How an error ends a task: its words, as they are shown, and the exit code; None for a bug."""
    if isinstance(error, RemoteError):
        return Exit(_message(str(error)), code=2)
    if isinstance(error, Exit):
        # Invoke prints the message as it is, and why a job failed is its server's to say.
        return Exit(_message(error.message or ""), code=error.code)
    if isinstance(error, KeyboardInterrupt):
        return Exit(_message(str(error)) or "Interrupted.", code=130)
    if not isinstance(error, OSError):
        return None
    told = full_disk(error) or refused_path(error)
    return Exit(_message(str(told)), code=2) if told else None


def confirm(question: str) -> None:
    """Ask on the terminal; raises Exit with code 1 unless the answer is yes."""
    ask(f"{question} [y/N] ")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Exit("Nothing was changed.", code=1)


def _message(text: str) -> str:
    """An error's words as they are shown; a server's may have no end."""
    lines = text[:LONGEST_MESSAGE].split("\n")[:MESSAGE_LINES]
    return printable_lines(complete("\n".join(lines)))


def _say_traceback(kind: type[BaseException], error: BaseException, frames: Any) -> None:
    import traceback

    say(*"".join(traceback.format_exception(kind, error, frames)).splitlines())
