"""Addresses, logins, and what errors of MLflow's client mean to the user."""

from __future__ import annotations

import base64
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from remote.errors import ConfigError, ConnectError, StoreError
from remote.tracking.export.server_client import (
    NO_REPEATS,
    environment,
    parse_address,
    reason,
    server_client,
)
from scripts.sshd import free_port


@dataclass
class Stub:
    """A web server that always gives the same answer, and keeps the logins that it was given."""

    status: int = 200
    text: str = '{"experiments": []}'
    logins: list[str] = field(default_factory=list)
    address: str = ""


@pytest.fixture
def stub() -> Iterator[Stub]:
    made = Stub()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            made.logins.append(self.headers.get("Authorization", ""))
            self.send_response(made.status)
            self.send_header("Content-Length", str(len(made.text.encode())))
            self.end_headers()
            self.wfile.write(made.text.encode())

        do_GET = do_POST = answer

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


def ask(address: str, settings: dict[str, str] | None = None) -> None:
    with (
        server_client(address, settings or {}) as client,
        environment(NO_REPEATS),
    ):
        client.search_experiments()


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("settings", "login"),
    [
        ({}, ""),
        ({"MLFLOW_TRACKING_TOKEN": "abc"}, "Bearer abc"),
        (
            {"MLFLOW_TRACKING_USERNAME": "ann", "MLFLOW_TRACKING_PASSWORD": "p:ä"},
            basic("ann:p:ä"),
        ),
    ],
)
def test_the_login_comes_from_the_projects_settings(
    stub: Stub, settings: dict[str, str], login: str
) -> None:
    before = dict(os.environ)
    ask(stub.address, settings)
    assert stub.logins == [login]
    assert dict(os.environ) == before


def test_a_login_in_the_address_is_used_and_never_shown(stub: Stub) -> None:
    stub.status, stub.text = 401, "no"
    host = stub.address.partition("//")[2]
    with pytest.raises(StoreError) as caught:
        ask(f"http://ann:hunt%402@{host}/")
    assert stub.logins == [basic("ann:hunt@2")]
    assert "hunt" not in str(caught.value) and stub.address in str(caught.value)


@pytest.mark.parametrize("text", ["http://", "https://[x", "http://host:x/", "sqlite:///x.db"])
def test_an_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="MLFLOW_TRACKING_URI"):
        parse_address(text)


@pytest.mark.parametrize(
    ("status", "text", "said"),
    [
        (401, "no", "refuses this login"),
        (403, "no", "refuses this login"),
        (404, "<html>", "isn't an MLflow server"),
        (200, "<html>Welcome</html>", "isn't an MLflow server"),
        (500, "oh", "fails"),
        (
            400,
            '{"error_code": "INVALID_PARAMETER_VALUE", "message": "odd\\u001b[2J"}',
            r"odd\\x1b\[",
        ),
    ],
)
def test_what_a_bad_answer_means(stub: Stub, status: int, text: str, said: str) -> None:
    stub.status, stub.text = status, text
    with pytest.raises(StoreError, match=said) as caught:
        ask(stub.address)
    assert str(caught.value).count("\n") <= 1
    assert len(stub.logins) == 1


def test_a_server_that_does_not_answer_is_told_at_once() -> None:
    with pytest.raises(ConnectError, match="can't be reached") as caught:
        ask(f"http://127.0.0.1:{free_port()}")
    assert "pull again" in caught.value.hint


def test_a_setting_that_mlflow_cannot_read_is_told(stub: Stub) -> None:
    with pytest.raises(ConfigError, match="MLFLOW_TRACKING_INSECURE_TLS"):
        ask(stub.address, {"MLFLOW_TRACKING_INSECURE_TLS": "perhaps"})


def test_a_reason_is_short_and_printable() -> None:
    text = reason(ValueError("INTERNAL_ERROR: a\x1b[31m\nb" + "c" * 999))
    assert text.startswith(r"a\x1b[31m b") and len(text) == 300
