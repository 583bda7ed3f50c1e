"""A port of the server leads to a proxy on this machine, for who knows the password."""

from __future__ import annotations

import http.server
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from remote.config import Project
from remote.errors import ConnectError, TargetError
from remote.operations.bootstrap import laptop_proxy
from remote.session import TargetSession
from remote.target import Target
from remote.transport.process import Result
from scripts.sshd import PrivateSshd
from tests.waiting import until


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"from the internet")

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def page() -> Iterator[str]:
    """An address that the proxy can reach."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def server(tmp_path: Path, sshd: PrivateSshd) -> Iterator[TargetSession]:
    project = Project(tmp_path, {"REMOTE_SSH_CONFIG": str(sshd.config), "REMOTE_PROXY": "laptop"})
    server = TargetSession.of(project, Target.parse("gpu:proj"))
    yield server
    assert server.ssh
    server.ssh.close()


def fetched(address: str, proxy: str) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": proxy}))
    with opener.open(address, timeout=20) as answer:
        return answer.read()


def test_what_the_server_asks_for_comes_through_this_machine(
    server: TargetSession, page: str
) -> None:
    assert laptop_proxy.wanted(server)
    with laptop_proxy.through_this_machine(server) as proxy:
        assert fetched(page, proxy) == b"from the internet"
        login, _, place = proxy.removeprefix("http://").rpartition("@")
        assert login.startswith("remote:")
        with pytest.raises(urllib.error.HTTPError, match="407"):
            fetched(page, f"http://{place}")

    def is_closed() -> bool:
        try:
            fetched(page, proxy)
        except OSError:
            return True
        return False

    until(is_closed)


def test_an_sshd_that_forwards_nothing_is_told_with_the_setting(
    server: TargetSession, sshd: PrivateSshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert server.ssh
    monkeypatch.setattr(type(server.ssh), "tell_master", refuse)
    with pytest.raises(ConnectError, match="can't be forwarded.*not allowed") as caught:
        with laptop_proxy.through_this_machine(server):
            pass
    assert "REMOTE_PROXY" in caught.value.hint


def refuse(self: object, *words: str) -> Result:
    return Result(words, 255, b"", "forwarding is not allowed")


def test_a_target_on_this_machine_needs_none(tmp_path: Path) -> None:
    local = TargetSession.of(
        Project(tmp_path, {"REMOTE_PROXY": "laptop"}), Target.parse("/elsewhere")
    )
    assert not laptop_proxy.wanted(local)
    with pytest.raises(TargetError):
        with laptop_proxy.through_this_machine(local):
            pass
