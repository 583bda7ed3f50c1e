"""What goes on until Ctrl-C, and fails meanwhile: when it is tried again, and what is said of it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from remote.errors import ConnectError, LoginError, RemoteError, TransferError
from remote.output import say

#: Seconds until the next try, at first and at most.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0


@dataclass
class Retries:
    """`failure` is that of the last try, None where it went well."""

    failure: RemoteError | None = None
    pause: float = FIRST_PAUSE
    due: float = 0.0
    """When the next try is, by the monotonic clock."""

    @property
    def is_due(self) -> bool:
        """Whether it failed, and is to be tried again now."""
        return bool(self.failure) and time.monotonic() >= self.due

    @property
    def is_waiting(self) -> bool:
        """Whether nothing but time may help: the way to the server is cut, or its disk is full."""
        return _is_servers(self.failure)

    def postpone(self, error: RemoteError) -> None:
        """Say what is wrong, unless that was said, and wait for longer each time.

        Raises LoginError: its user has to do something, and a server may lock out who tries again
        and again.
        """
        if isinstance(error, LoginError):
            raise error
        if _is_servers(error) and not self.is_waiting:
            say(error.message, "It is tried again until it works.")
        elif not _is_servers(error) and str(error) != str(self.failure):
            say(*str(error).split("\n"))
        self.failure, self.due = error, time.monotonic() + self.pause
        self.pause = min(2 * self.pause, LONGEST_PAUSE)

    def end(self, words: str) -> None:
        """Say these where it failed before: it works now."""
        if self.failure:
            say(words)
        self.failure, self.pause = None, FIRST_PAUSE


def _is_servers(error: RemoteError | None) -> bool:
    return isinstance(error, (ConnectError, TransferError))
