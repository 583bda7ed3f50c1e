"""Requests: logins, repeats, and what bad answers mean. The server is a tiny one of the test's."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from remote.errors import ConfigError, ConnectError, StoreError
from remote.upload.answers import NoSuchCall, Rejected
from remote.upload.credentials import Credentials
from remote.upload.server import REPEATS, Server
from scripts.sshd import free_port

GONE = '{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such run"}'


@dataclass
class Stub:
    """Gives the answers one after the other, the last one again and again."""

    answers: list[tuple[int, str]] = field(default_factory=lambda: [(200, "{}")])
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    """(method, path, Authorization) of each request."""
    address: str = ""


@pytest.fixture
def stub() -> Iterator[Stub]:
    made = Stub()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            login = self.headers.get("Authorization", "")
            made.asked.append((self.command, self.path, login))
            status, text = made.answers.pop(0) if len(made.answers) > 1 else made.answers[0]
            self.send_response(status)
            for name, value in made.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = do_PUT = answer

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


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("env", "login"),
    [
        ({}, ""),
        (
            {"MLFLOW_TRACKING_USERNAME": "ann", "MLFLOW_TRACKING_PASSWORD": "p:ä"},
            basic("ann:p:ä"),
        ),
        ({"MLFLOW_TRACKING_TOKEN": "abc"}, "Bearer abc"),
        (
            {
                "MLFLOW_TRACKING_USERNAME": "ann",
                "MLFLOW_TRACKING_PASSWORD": "x",
                "MLFLOW_TRACKING_TOKEN": "abc",
            },
            basic("ann:x"),
        ),
        ({"MLFLOW_TRACKING_USERNAME": "ann"}, ""),
    ],
)
def test_the_login_is_that_of_mlflows_client(stub: Stub, env: dict[str, str], login: str) -> None:
    with Server(stub.address, env) as server:
        server.get("runs/get", run_id="1")
    assert stub.asked == [("GET", "/api/2.0/mlflow/runs/get?run_id=1", login)]


def test_a_login_in_mlflows_own_file(tmp_path: Path) -> None:
    (tmp_path / ".mlflow").mkdir()
    (tmp_path / ".mlflow" / "credentials").write_text(
        "[mlflow]\nmlflow_tracking_username = ann\nmlflow_tracking_password = 50%\n"
    )
    found = Credentials.read({}, tmp_path)
    assert (found.user, found.password) == ("ann", "50%")
    assert Credentials.read({"MLFLOW_TRACKING_USERNAME": "bob"}, tmp_path).user == "bob"


def test_a_netrc_of_the_user_changes_nothing(stub: Stub, isolated: Path) -> None:
    (isolated / ".netrc").write_text("machine 127.0.0.1 login eve password x\n")
    with Server(stub.address, {"MLFLOW_TRACKING_TOKEN": "abc"}) as server:
        server.get("runs/get")
    assert stub.asked[0][2] == "Bearer abc"


@pytest.mark.parametrize(
    ("env", "verify"),
    [
        ({}, True),
        ({"MLFLOW_TRACKING_INSECURE_TLS": "true"}, False),
        ({"MLFLOW_TRACKING_INSECURE_TLS": "false"}, True),
        ({"MLFLOW_TRACKING_SERVER_CERT_PATH": "/ca.pem"}, "/ca.pem"),
    ],
)
def test_which_certificates_are_trusted(env: dict[str, str], verify: object) -> None:
    assert Credentials.read(env, Path("/nowhere")).verify == verify


@pytest.mark.parametrize(
    "env",
    [
        {"MLFLOW_TRACKING_INSECURE_TLS": "true", "MLFLOW_TRACKING_SERVER_CERT_PATH": "/ca.pem"},
        {"MLFLOW_TRACKING_INSECURE_TLS": "perhaps"},
        {"MLFLOW_TRACKING_AWS_SIGV4": "true"},
        {"MLFLOW_TRACKING_AUTH": "kubernetes"},
    ],
)
def test_settings_that_cannot_be_followed(env: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        Credentials.read(env, Path("/nowhere"))
    assert next(iter(env)) in str(caught.value)


def test_no_login_and_a_wrong_one_are_told_apart(stub: Stub) -> None:
    stub.answers = [(401, "no")]
    with Server(stub.address, {}) as server, pytest.raises(StoreError) as caught:
        server.hello()
    assert "asks for a login" in str(caught.value)
    assert "MLFLOW_TRACKING_USERNAME" in caught.value.hint
    with Server(stub.address, {"MLFLOW_TRACKING_TOKEN": "secret"}) as server:
        with pytest.raises(StoreError) as caught:
            server.post("runs/create", {})
    assert caught.value.hint == "Check MLFLOW_TRACKING_TOKEN."
    assert "secret" not in str(caught.value) and len(stub.asked) == 2


def test_a_passing_failure_is_tried_again(stub: Stub) -> None:
    stub.answers = [(503, "busy"), (429, "busy"), (500, "busy"), (200, '{"a": 1}')]
    waits: list[float] = []
    with Server(stub.address, {}, sleep=waits.append) as server:
        assert server.post("runs/log-batch", {}) == {"a": 1}
    assert len(stub.asked) == 4 and waits == sorted(waits) and 0.3 < waits[0] < 0.7


def test_the_server_says_how_long_to_wait(stub: Stub) -> None:
    stub.answers = [(429, "busy"), (200, "{}")]
    stub.headers = {"Retry-After": "3"}
    waits: list[float] = []
    with Server(stub.address, {}, sleep=waits.append) as server:
        server.get("runs/get")
    assert waits == [3.0]


def test_a_failure_that_lasts_is_told(stub: Stub) -> None:
    stub.answers = [(502, "bad gateway")]
    with Server(stub.address, {}, sleep=lambda _: None) as server:
        with pytest.raises(StoreError, match="fails with 502: bad gateway"):
            server.get("runs/get")
    assert len(stub.asked) == REPEATS + 1


def test_what_may_have_been_made_isnt_made_twice(stub: Stub) -> None:
    stub.answers = [(504, "too late"), (200, '{"run": "second"}')]
    with Server(stub.address, {}, sleep=lambda _: None) as server:
        done = server.post("runs/create", {}, already=lambda: {"run": "first"})
    assert done == {"run": "first"} and len(stub.asked) == 1


def test_nobody_listens() -> None:
    address = f"http://127.0.0.1:{free_port()}"
    waits: list[float] = []
    with Server(address, {}, sleep=waits.append) as server:
        with pytest.raises(ConnectError) as caught:
            server.hello()
        assert waits == [] and "MLFLOW_TRACKING_URI" in caught.value.hint
        with pytest.raises(ConnectError):
            server.get("runs/get")
        assert len(waits) == REPEATS


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        ((404, GONE), Rejected, "no such run"),
        ((404, "<html>not found</html>"), NoSuchCall, "has no /api/2.0/mlflow/runs/get"),
        ((200, "<html>Welcome</html>"), StoreError, "isn't an MLflow server"),
        ((403, "no"), StoreError, "doesn't let this user"),
        ((400, "odd"), Rejected, "odd"),
    ],
)
def test_bad_answers(stub: Stub, answer: tuple[int, str], kind: type, said: str) -> None:
    stub.answers = [answer]
    with Server(stub.address, {}) as server, pytest.raises(kind, match=said) as caught:
        server.get("runs/get")
    if kind is Rejected:
        assert caught.value.is_gone == (answer[1] == GONE)


def test_a_redirect_is_told_not_followed(stub: Stub) -> None:
    stub.answers, stub.headers = [(302, "")], {"Location": "https://login.example"}
    with Server(stub.address, {}) as server:
        with pytest.raises(StoreError, match="https://login.example"):
            server.post("runs/create", {})
    assert len(stub.asked) == 1


def test_an_old_server_is_refused(stub: Stub) -> None:
    stub.answers = [(200, "1.30.0")]
    with Server(stub.address, {}) as server:
        with pytest.raises(StoreError, match="MLflow 1.30.0"):
            server.hello()


def test_something_that_isnt_mlflow_is_refused(stub: Stub) -> None:
    from remote.upload.apply import identity

    stub.answers = [(200, "<html>Welcome</html>")]
    with Server(stub.address, {}) as server:
        with pytest.raises(StoreError, match="isn't an MLflow server"):
            identity(server)


@pytest.mark.parametrize("address", ["sqlite:///x.db", "http://", "databricks"])
def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(ConfigError):
        Server(address, {})


def test_a_password_in_the_address_isnt_shown() -> None:
    server = Server("https://ann:secret@host:5000/mlflow/", {})
    assert server.shown == "https://host:5000/mlflow/"
