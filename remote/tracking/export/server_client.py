"""MLflow's client of one server: its environment, and what its errors mean to the user."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from typing import Any, Dict, Iterator, Mapping, Tuple
from urllib.parse import unquote, urlsplit

from remote.errors import ConfigError, ConnectError, RemoteError, StoreError
from remote.output import printable

VARIABLE = "MLFLOW_TRACKING_URI"
USER, PASSWORD = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"
TOKEN = "MLFLOW_TRACKING_TOKEN"
_REPEATS = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
NO_REPEATS = {_REPEATS: "0"}
"""Requests are sent once: for what must not be done twice, and to fail fast."""
_LENGTH = 300


def parse_address(text: str) -> Tuple[str, Dict[str, str]]:
    """An address without the login that stood in it, and the login as MLflow's variables.

    Raises ConfigError.
    """
    try:
        parts = urlsplit(text)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.scheme not in ("http", "https"):
        raise ConfigError(
            f"{VARIABLE} isn't the address of an MLflow server.", "Such as http://host:5000."
        )
    url = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="")
    names = ((USER, parts.username), (PASSWORD, parts.password))
    login = {name: unquote(value) for name, value in names if value}
    return url.geturl().rstrip("/"), login


@contextmanager
def server_client(address: str, settings: Mapping[str, str]) -> Iterator[Any]:
    """An MlflowClient; its errors become ConfigError, StoreError and ConnectError.

    `settings` are the project's: MLflow reads its own from the environment alone, so they are put
    there as long as the client is used.
    """
    url, login = parse_address(address)
    changes = {
        # MLflow's own seven repeats keep a user waiting for four minutes; the next pull goes on anyway.
        _REPEATS: "4",
        # A command of this toolkit calls no server that the user hasn't named.
        "MLFLOW_DISABLE_TELEMETRY": "true",
        **settings,
        **login,
        VARIABLE: url,
        # It would print a line for each run that has ended.
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    }
    with environment(changes):
        import requests
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
        from mlflow.utils.credentials import get_default_host_creds

        try:
            get_default_host_creds(url)
        except (ValueError, MlflowException) as error:
            raise ConfigError(reason(error), "It is set in .env or in the environment.") from error
        try:
            yield MlflowClient(tracking_uri=url, registry_uri=url)
        except (MlflowException, requests.RequestException) as error:
            raise _user_error(error, url) from error


@contextmanager
def environment(changes: Mapping[str, str]) -> Iterator[None]:
    """Variables as long as this is open."""
    saved = dict(os.environ)
    os.environ.update(changes)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(saved)


def refuses_content(error: Exception) -> bool:
    """The server understood a request and won't take a value in it: other requests may do."""
    return 400 <= _status(error) < 500 and _status(error) not in (401, 403, 408, 429)


def reason(error: BaseException) -> str:
    """What an error says, on one line and not too long: part of it comes from the server."""
    text = re.sub(r"^[A-Z_]+: ", "", " ".join(str(error).split()))
    return printable(text)[:_LENGTH]


def _status(error: BaseException) -> int:
    """The HTTP status that an error stands for; 0 for one that is none of the server's."""
    response = getattr(error, "response", None)
    if response is not None:
        return int(response.status_code)
    match = re.search(r"failed with error code (\d{3})", str(error))
    if match:
        return int(match[1])
    if getattr(error, "json", None) and hasattr(error, "get_http_status_code"):
        return int(error.get_http_status_code())
    return 0


def _user_error(error: BaseException, url: str) -> RemoteError:
    import requests.exceptions as http

    causes, status = [error], _status(error)
    while causes[-1].__context__ is not None:
        causes.append(causes[-1].__context__)
    # A certificate that isn't trusted is one of them.
    if any(isinstance(cause, (http.ConnectionError, http.Timeout)) for cause in causes):
        return ConnectError(
            f"The MLflow server {url} can't be reached: {reason(causes[-1])}",
            f"Check {VARIABLE}, MLFLOW_TRACKING_SERVER_CERT_PATH, and that the server runs."
            " The merged records are kept; pull again.",
        )
    if status in (401, 403):
        step = f"Set {USER} and {PASSWORD}, or {TOKEN}."
        return StoreError(f"{url} refuses this login: {reason(error)}", step)
    if status in (404, 405) and not getattr(error, "json", None) or "valid JSON" in str(error):
        return StoreError(f"{url} isn't an MLflow server.", f"Check {VARIABLE}.")
    return StoreError(f"{url} fails: {reason(error)}", "The merged records are kept; pull again.")
