"""What the server's answers mean.

StoreError
|-- Rejected      the server understood and says no (`code` is MLflow's name for why)
`-- NoSuchCall    this server doesn't have that part of the API
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from remote.errors import StoreError
from remote.upload.credentials import PASSWORD, TOKEN, USER

if TYPE_CHECKING:
    import requests

_GONE = "RESOURCE_DOES_NOT_EXIST"


class Rejected(StoreError):
    """The server answered with an error of MLflow's."""

    def __init__(self, message: str, code: str, status: int) -> None:
        super().__init__(message)
        self.code, self.status = code, status

    @property
    def is_gone(self) -> bool:
        """What the request was about isn't there."""
        return self.code == _GONE

    @property
    def is_about_content(self) -> bool:
        """The request was understood; a value in it won't do."""
        return 400 <= self.status < 500 and not self.is_gone


class NoSuchCall(StoreError):
    """The server has no such end point: it is older, or another MLflow."""


def content_of(
    answer: requests.Response, url: str, shown: str, *, said_by: str, json_needed: bool
) -> dict[str, Any]:
    """The answer's content; raises what a bad answer means.

    `shown` names the server, `said_by` the settings that the login came from.
    """
    status = answer.status_code
    if status == 401:
        raise _refused_login(shown, said_by)
    if 300 <= status < 400:
        where = answer.headers.get("Location", "another address")
        raise StoreError(f"{shown} sends us on to {where}.", "Put that into MLFLOW_TRACKING_URI.")
    content = _parsed(answer.text) if json_needed or status >= 400 else {}
    if status < 300 and content is not None:
        return content
    if content and "error_code" in content:
        message = str(content.get("message", ""))[:500]
        raise Rejected(f"{shown} says no: {message}", str(content["error_code"]), status)
    if status == 403:
        raise StoreError(f"{shown} doesn't let this user do that ({url}).")
    if status in (404, 405, 501):
        raise NoSuchCall(
            f"{shown} has no {url}.", "Check that MLFLOW_TRACKING_URI is an MLflow server."
        )
    if 400 <= status < 500:
        raise Rejected(f"{shown} says no: {answer.text[:200]}", "", status)
    if status >= 500:
        raise StoreError(f"{shown} fails with {status}: {answer.text[:200]}")
    raise StoreError(f"{shown} isn't an MLflow server.", "Check MLFLOW_TRACKING_URI.")


def _refused_login(shown: str, said_by: str) -> StoreError:
    if not said_by:
        return StoreError(f"{shown} asks for a login.", f"Set {USER} and {PASSWORD}, or {TOKEN}.")
    return StoreError(f"{shown} refuses the login.", f"Check {said_by}.")


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        content = json.loads(text)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None
