"""How tasks end: errors that are meant for the user become messages and exit codes."""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from invoke.exceptions import Exit

from remote.errors import RemoteError
from remote.output import printable_lines

Body = TypeVar("Body", bound=Callable[..., Any])


def exit_on_error(body: Body) -> Body:
    """Turn the errors meant for the user into a message and exit code 2, Ctrl-C into 130.

    A reader that has gone (`inv remote-ps | head`) ends the task silently, as it ends `cat`.
    Everything else is a bug, and keeps its traceback.
    """

    @functools.wraps(body)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            result = body(*args, **kwargs)
            sys.stdout.flush()
            return result
        except RemoteError as error:
            raise Exit(printable_lines(str(error)), code=2) from None
        except Exit as exit:
            # Invoke prints the message as it is, and why a job failed is its server's to say.
            raise Exit(printable_lines(exit.message or ""), code=exit.code) from None
        except KeyboardInterrupt:
            raise Exit("Interrupted.", code=130) from None
        except BrokenPipeError:
            # What Python still holds for standard output goes nowhere when it exits.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise Exit(code=128 + signal.SIGPIPE) from None

    return wrapped  # type: ignore[return-value]
