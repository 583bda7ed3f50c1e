"""Tunnels to a target on this machine, the browser's one-time address, and what keeps them out."""

from __future__ import annotations

import contextlib
import http.server
import socket
import socketserver
import sys
import threading
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from remote.config import Project
from remote.errors import ConfigError, ConnectError
from remote.job.messages.jobs import LogAnswer
from remote.job.messages.services import ServiceAddress
from remote.job.status import STOPPED, JobStatus
from remote.operations import services, tunnel
from remote.operations.jobs import follow
from remote.rpc.wire import LocalWire
from remote.session import TargetSession
from remote.target import Target
from scripts.sshd import PrivateSshd, free_port
from tests.waiting import until


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"x" * 3_000_000
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "socket"

    def log_message(self, *words: Any) -> None:
        pass


class ByTcp(http.server.ThreadingHTTPServer):
    pass


class BySocket(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


@pytest.fixture(params=["socket", "port"])
def at(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ServiceAddress]:
    """A page that is served on a socket, or on a port."""
    place: Any
    if request.param == "socket":
        server: Any = BySocket(str(tmp_path / "s"), Page)
        place = str(tmp_path / "s")
    else:
        server = ByTcp(("127.0.0.1", 0), Page)
        place = server.server_port
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield ServiceAddress("/", **{request.param: place})
    server.shutdown()
    server.server_close()


@pytest.fixture
def server(tmp_path: Path) -> TargetSession:
    """A target on this machine."""
    project = Project(tmp_path, {})
    return TargetSession.of(project, Target.parse(str(tmp_path / "target")))


@pytest.fixture
def far_server(tmp_path: Path, sshd: PrivateSshd) -> Iterator[TargetSession]:
    """A target behind SSH, which is this machine, too."""
    project = Project(tmp_path, {"REMOTE_SSH_CONFIG": str(sshd.config)})
    server = TargetSession.of(project, Target.parse("gpu:proj"))
    yield server
    assert server.ssh
    server.ssh.close()


@pytest.mark.parametrize("place", ["server", "far_server"])
def test_the_page_comes_whole(
    at: ServiceAddress, place: str, request: pytest.FixtureRequest
) -> None:
    server, port = request.getfixturevalue(place), free_port()
    with tunnel.tunnel(server, at, port):
        tunnel.check(server, port)
        for _ in range(3):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
                assert len(answer.read()) == 3_000_000
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5)


def test_a_port_that_is_taken(server: TargetSession) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"Port {port} of this machine is in use"):
            with tunnel.tunnel(server, ServiceAddress("/", socket="/none"), port):
                pass
        assert tunnel.free_port(port) != port


def test_nothing_at_the_other_end(
    server: TargetSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tunnel, "PATIENCE", 0.5)
    port = free_port()
    with tunnel.tunnel(server, ServiceAddress("/", socket=str(tmp_path / "none")), port):
        with pytest.raises(ConnectError, match="Nothing answers"):
            tunnel.check(server, port)


def test_a_server_can_not_have_ssh_read_our_environment(far_server: TargetSession) -> None:
    with pytest.raises(ConnectError, match="no plain path"):
        with tunnel.tunnel(far_server, ServiceAddress("/", socket="/tmp/${HOME}"), free_port()):
            pass


def test_the_same_port_each_time(server: TargetSession) -> None:
    port = services.port_for(server, services.LAB)
    assert port == services.port_for(server, services.LAB)
    assert port != services.port_for(server, services.UI)
    assert services.FIRST_PORT <= port < services.FIRST_PORT + services.PORTS


def test_what_a_browser_opens() -> None:
    at = ServiceAddress("/lab/tree/a%20b", port=1, token="s&ecret")
    assert services.page_of(at, 20001) == "http://127.0.0.1:20001/lab/tree/a%20b?token=s%26ecret"
    assert services.page_of(ServiceAddress("/", socket="/s"), 20001) == "http://127.0.0.1:20001/"


def test_nobody_is_asked_for_a_browser_without_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in tunnel.SHOWN_BY:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(tunnel.sys, "platform", "linux")
    monkeypatch.setattr(tunnel.webbrowser, "open", lambda address: pytest.fail(address))
    assert tunnel.show("http://127.0.0.1/") is False


ADDRESS = "http://127.0.0.1:8888/lab?token=secret"


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *words: object) -> None:
        return None


def ask(address: str) -> tuple[int, str | None]:
    try:
        answer = urllib.request.build_opener(NoRedirect).open(address)
    except urllib.error.HTTPError as error:
        answer = error
    return answer.code, answer.headers["Location"]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that a browser was started with."""
    addresses: list[str] = []
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(webbrowser, "open", lambda address: addresses.append(address) or True)
    return addresses


def test_the_browser_is_told_an_address_without_the_token(opened: list[str]) -> None:
    assert tunnel.show(ADDRESS)
    [address] = opened
    assert "secret" not in address and urlsplit(address).hostname == "127.0.0.1"
    assert ask(address) == (302, ADDRESS)


def test_who_does_not_know_it_is_led_nowhere(opened: list[str]) -> None:
    tunnel.show(ADDRESS)
    [address] = opened
    parts = urlsplit(address)
    assert ask(f"http://{parts.netloc}/") == (404, None)
    assert ask(address) == (302, ADDRESS)


def test_it_leads_there_once(opened: list[str]) -> None:
    tunnel.show(ADDRESS)
    [address] = opened
    ask(address)

    def refused() -> bool:
        try:
            ask(address)
        except OSError:
            return True
        return False

    until(refused)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere a page is always shown")
def test_without_a_screen_nothing_is_opened(
    opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in tunnel.SHOWN_BY:
        monkeypatch.delenv(name, raising=False)
    assert not tunnel.show(ADDRESS) and opened == []


def test_a_browser_that_can_not_be_started_is_none(
    opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(address: str) -> bool:
        raise webbrowser.Error("could not locate runnable browser")

    monkeypatch.setattr(webbrowser, "open", broken)
    assert not tunnel.show(ADDRESS)


def test_where_the_tunnel_breaks_before_its_job_ends_the_end_is_told(
    server: TargetSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = JobStatus(STOPPED)
    answers = iter([LogAnswer("1-lab-a", offset=0), LogAnswer("1-lab-a", offset=0, status=ended)])
    monkeypatch.setattr(server.agent, "call", lambda *words, **more: next(answers))
    # A second one would raise StopIteration.
    tunnels = iter([contextlib.nullcontext()])
    monkeypatch.setattr(tunnel, "tunnel", lambda *words: next(tunnels))
    monkeypatch.setattr(tunnel, "check", lambda *words: None)
    address = ServiceAddress("/", job="1-lab-a")
    assert tunnel.hold(server, "1-lab-a", address, free_port(), lambda: None) == ended


def test_a_tunnel_that_stays_broken_tells_what_opens_it_again(
    server: TargetSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "RETRY_LIMIT", -1)
    monkeypatch.setattr(tunnel, "tunnel", lambda *words: contextlib.nullcontext())
    monkeypatch.setattr(tunnel, "check", lambda *words: None)
    sign = LogAnswer("1-lab-a", offset=0)
    monkeypatch.setattr(server.agent, "call", lambda request, on_answer: on_answer(sign))
    with pytest.raises(ConnectError, match="The tunnel broke") as told:
        tunnel.hold(server, "1-lab-a", ServiceAddress("/"), free_port(), lambda: None)
    assert "same command" in told.value.hint
    with pytest.raises(ConnectError, match="The connection to the server broke"):
        tunnel.status_of(sign)


def test_a_node_that_can_not_be_reached_is_told_in_its_own_words(
    server: TargetSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "echo motd; echo no such job >&2"
    monkeypatch.setattr(LocalWire, "agent", lambda *words: ["sh", "-c", script])
    with pytest.raises(ConnectError, match="1-lab-a can't be reached: no such job") as told:
        with tunnel.tunnel(server, ServiceAddress("/", job="1-lab-a"), free_port()):
            pytest.fail("it was opened")
    assert "inv remote-ps 1-lab-a" in told.value.hint
