"""An MLflow server and its public REST API: requests, and their repeats."""

from __future__ import annotations

import json
import os
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from remote.errors import ConfigError, ConnectError, StoreError
from remote.upload.answers import content_of
from remote.upload.credentials import CLIENT_CERT, INSECURE, SERVER_CERT, Credentials

if TYPE_CHECKING:
    import requests

API = "/api/2.0/mlflow/"
API_3 = "/api/3.0/mlflow/"
REPEATS = 5
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0  # seconds
TIMEOUT = 120.0  # seconds
PAGE = 1000
_PASSING = (408, 429, 500, 502, 503, 504)

Body = Mapping[str, Any]
Upload = Callable[[], "IO[bytes] | bytes"]


class Server:
    """One connection to a server, kept open. `env` has the settings that MLflow's client reads.

    `sleep` waits between two tries.
    """

    def __init__(
        self,
        address: str,
        env: Mapping[str, str] | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"{address} isn't the address of an MLflow server.")
        self.shown = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        self._address = address.rstrip("/")
        self._env = os.environ if env is None else env
        self._credentials = Credentials.read(self._env, Path.home())
        self._sleep = sleep
        self._session: requests.Session | None = None

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *error: object) -> None:
        if self._session is not None:
            self._session.close()

    def hello(self) -> str:
        """The server's version, "" if it doesn't say.

        Raises without trying again: a mistyped address is told at once.
        """
        answer = self._send("GET", "/version")
        found = re.match(r"(\d+)\.\d+", answer.text) if answer.status_code == 200 else None
        if found and int(found[1]) < 2:
            raise StoreError(
                f"{self.shown} runs MLflow {answer.text[:20]}.", "MLflow 2 or later is needed."
            )
        self._content(answer, "/version", False)
        return answer.text[:20] if found else ""

    def get(self, path: str, **query: str) -> dict[str, Any]:
        return self._answer("GET", path, params=query)

    def post(
        self, path: str, body: Body, *, already: Callable[[], Any] | None = None
    ) -> dict[str, Any]:
        """`already` is asked before each repeat whether the first try was done after all."""
        return self._answer("POST", path, body=body, already=already)

    def patch(self, path: str, body: Body) -> dict[str, Any]:
        return self._answer("PATCH", path, body=body)

    def delete(self, path: str, body: Body | None = None) -> dict[str, Any]:
        return self._answer("DELETE", path, body=body)

    def pages(self, path: str, body: Body, key: str) -> Iterator[dict[str, Any]]:
        """All results of a search."""
        token = ""
        while True:
            page = {**body, "max_results": PAGE, **({"page_token": token} if token else {})}
            answer = self._answer("POST", path, body=page)
            yield from answer.get(key, [])
            token = answer.get("next_page_token", "")
            if not token:
                return

    def send_spans(self, experiment: str, body: Body) -> None:
        """Spans as OTLP in JSON; the one call outside of /api."""
        headers = {"x-mlflow-experiment-id": experiment}
        self._answer("POST", "/v1/traces", body=body, headers=headers, json_needed=False)

    def put_artifact(self, path: str, content: Upload) -> None:
        """Streams what `content` opens to the server's artifact store."""
        url = f"/api/2.0/mlflow-artifacts/artifacts/{quote(path)}"
        self._answer("PUT", url, content=content, json_needed=False)

    def _answer(
        self,
        method: str,
        path: str,
        *,
        body: Body | None = None,
        already: Callable[[], Any] | None = None,
        json_needed: bool = True,
        **rest: Any,
    ) -> dict[str, Any]:
        url = path if path.startswith("/") else API + path
        answer = self._try(method, url, body, already, rest)
        if isinstance(answer, dict):
            return answer
        return self._content(answer, url, json_needed)

    def _try(
        self,
        method: str,
        url: str,
        body: Body | None,
        already: Callable[[], Any] | None,
        rest: Mapping[str, Any],
    ) -> requests.Response | dict[str, Any]:
        repeats = int(self._env.get("MLFLOW_HTTP_REQUEST_MAX_RETRIES") or REPEATS)
        for number in range(repeats + 1):
            last = number == repeats
            try:
                answer = self._send(method, url, body=body, **rest)
                if last or answer.status_code not in _PASSING:
                    return answer
                self._sleep(_wait(number, answer.headers.get("Retry-After", "")))
            except ConnectError:
                if last:
                    raise
                self._sleep(_wait(number))
            done = already() if already else None
            if done is not None:
                return dict(done)
        raise AssertionError("unreachable")

    def _send(
        self,
        method: str,
        url: str,
        *,
        body: Body | None = None,
        content: Upload | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """One request. A redirect isn't followed: it would turn a POST into a GET."""
        import requests

        data: Any = content() if content else None
        if body is not None:
            data = json.dumps(body, allow_nan=False).encode()
            headers = {**(headers or {}), "Content-Type": "application/json"}
        try:
            return self._open().request(
                method,
                self._address + url,
                params=dict(params or {}),
                data=data,
                headers=headers,
                timeout=float(self._env.get("MLFLOW_HTTP_REQUEST_TIMEOUT") or TIMEOUT),
                allow_redirects=False,
            )
        except requests.exceptions.SSLError as error:
            raise StoreError(
                f"{self.shown} has a certificate that isn't trusted: {_reason(error)}",
                f"Name the file with the right one in {SERVER_CERT} (or set {INSECURE}=true).",
            ) from error
        except (requests.exceptions.ConnectionError, requests.exceptions.Timeout) as error:
            raise ConnectError(
                f"The MLflow server {self.shown} can't be reached: {_reason(error)}",
                "Check MLFLOW_TRACKING_URI, and that the server runs.",
            ) from error
        except (requests.exceptions.RequestException, OSError) as error:
            raise StoreError(
                f"{self.shown} can't be asked: {_reason(error)}",
                f"Check MLFLOW_TRACKING_URI, {SERVER_CERT} and {CLIENT_CERT}.",
            ) from error
        finally:
            if hasattr(data, "close"):
                data.close()

    def _open(self) -> requests.Session:
        if self._session is None:
            import requests

            self._session = requests.Session()
            self._session.verify = self._credentials.verify
            self._session.cert = self._credentials.client_cert or None
            self._session.auth = self._log_in if self._credentials.said_by else None
        return self._session

    def _log_in(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        from requests.auth import HTTPBasicAuth

        if self._credentials.basic:
            user, password = self._credentials.user, self._credentials.password
            login = HTTPBasicAuth(user.encode(), password.encode())
            return login(request)
        request.headers["Authorization"] = f"Bearer {self._credentials.token}"
        return request

    def _content(self, answer: requests.Response, url: str, json_needed: bool) -> dict[str, Any]:
        said_by = self._credentials.said_by
        return content_of(answer, url, self.shown, said_by=said_by, json_needed=json_needed)


def _wait(number: int, asked: str = "") -> float:
    """Seconds before the next try: what the server asks for, else twice as long each time."""
    if asked.isdigit():
        return min(float(asked), LONGEST_WAIT)
    return min(FIRST_WAIT * float(2**number), LONGEST_WAIT) * random.uniform(0.8, 1.2)


def _reason(error: Exception) -> str:
    """The innermost cause: requests wraps what went wrong several times."""
    cause: BaseException = error
    while cause.__context__ is not None:
        cause = cause.__context__
    return str(cause) or type(cause).__name__
