"""The errors that are told to the user in one or two lines.

Everything else that is raised is a bug and shows its traceback. Only the tasks (the outermost
layer) turn these into exit codes.
"""

from __future__ import annotations


class RemoteError(Exception):
    """An error for the user: `message` says what is wrong, `hint` what to do next."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class ConfigError(RemoteError):
    """A setting is missing or can't be read."""


class ConnectError(RemoteError):
    """The server can't be reached or refuses us."""


class LoginError(ConnectError):
    """The server asks for what only its user can give: a key, a password, a look at its host key."""


class NoAnswer(ConnectError):
    """A request was sent, and no answer came: what it asks for may have been done."""


class TargetError(RemoteError):
    """The server lacks something, or the target isn't ours to write to."""


class TransferError(RemoteError):
    """rsync failed."""


class NotebookError(RemoteError):
    """A notebook can't be read, or a parameter doesn't fit it."""


class JobError(RemoteError):
    """A job isn't there, or can't be started."""


class ProtocolError(RemoteError):
    """A request, an answer or a job's file doesn't fit what its fields may hold."""


class StoreError(RemoteError):
    """An MLflow store can't be read or written."""


class UnusableStore(StoreError):
    """Something lies where the store should, which is damaged, locked, closed to us, or no store.

    That is not the same as a store that is missing: nothing is put in its place.
    """
