"""The way to package indexes through this machine serves that, and leads nowhere else."""

from __future__ import annotations

import http.server
import socket
import sys
import threading
import urllib.request
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from remote.config import Project
from remote.operations.jobs import index_proxy
from remote.operations.jobs.index_hosts import HERE, PRIVATE, PUBLIC, index_hosts, may_lead_to

#: Addresses in all spellings, and from which reach on a host may have them (None: never).
ADDRESSES = {
    "151.101.0.223": PUBLIC,
    "2a04:4e42::223": PUBLIC,
    "::ffff:151.101.0.223": PUBLIC,
    "64:ff9b::9765:df": PUBLIC,
    "198.18.0.7": PUBLIC,
    "203.0.113.80": PUBLIC,
    "10.0.0.7": PRIVATE,
    "172.16.0.1": PRIVATE,
    "192.168.1.1": PRIVATE,
    "100.64.0.1": PRIVATE,
    "fd00:ec2::254": PRIVATE,
    "::ffff:10.0.0.7": PRIVATE,
    "64:ff9b::a00:7": PRIVATE,
    "2002:a00:7::1": PRIVATE,
    "127.0.0.1": HERE,
    "127.255.255.254": HERE,
    "::1": HERE,
    "::ffff:127.0.0.1": HERE,
    "::ffff:7f00:1": HERE,
    "::127.0.0.1": HERE,
    "64:ff9b::7f00:1": HERE,
    "2002:7f00:1::": HERE,
    "169.254.169.254": HERE,
    "::ffff:169.254.169.254": HERE,
    "fe80::1": HERE,
    "0.0.0.0": None,
    "::": None,
    "::ffff:0.0.0.0": None,
    "224.0.0.1": None,
    "ff02::1": None,
}


@pytest.mark.parametrize(("address", "least"), ADDRESSES.items())
def test_an_address_is_taken_from_hosts_that_may_lead_so_far(
    address: str, least: int | None
) -> None:
    for reach in (PUBLIC, PRIVATE, HERE):
        assert may_lead_to(address, reach) is (least is not None and reach >= least)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path, {})


def test_the_indexes_are_those_that_are_configured(project: Project, isolated: Path) -> None:
    files = {
        "pyproject.toml": '[project]\nurls = {Home = "https://home.example"}\n'
        '[[tool.uv.index]]\nname = "a"\nurl = "https://a.corp/simple"\n'
        '[tool.uv]\nextra-index-url = ["http://b.corp:8080/x"]\n'
        '[[tool.poetry.source]]\nname = "c"\nurl = "https://me:pw@c.corp/simple"\n',
        "uv.toml": '# index-url = "https://no.corp"\nindex-url = "https://D.corp./simple"\n',
        "uv.lock": 'wheels = [{ url = "https://wheels.example/x.whl" }]\n',
        "requirements.txt": "--extra-index-url http://e.corp/simple\nx @ https://f.example/x.whl\n",
    }
    for name, text in files.items():
        (project.root / name).write_text(text)
    user = isolated / ".config/pip/pip.conf"
    user.parent.mkdir(parents=True)
    user.write_text("[global]\nindex-url = http://localhost:3141/root/pypi\n; https://no.corp\n")
    settings = {
        "UV_INDEX": "g=https://g.corp/simple",
        "REMOTE_PROXY_HOSTS": "h.corp i.corp:81,[::1]",
    }
    hosts = index_hosts(Project(project.root, settings))
    assert hosts["pypi.org", 443] == hosts["wheels.example", 443] == PUBLIC
    assert hosts["f.example", 443] == PUBLIC
    named = [("a.corp", 443), ("b.corp", 8080), ("c.corp", 443), ("d.corp", 443), ("e.corp", 80)]
    assert all(hosts[place] == PRIVATE for place in named)
    own = [("localhost", 3141), ("g.corp", 443), ("h.corp", 443), ("i.corp", 81), ("::1", 443)]
    assert all(hosts[place] == HERE for place in own)
    assert not {"no.corp", "home.example"} & {host for host, _ in hosts}


def plugin(tmp_path: Path, hosts: dict[tuple[str, int], int]) -> Any:
    flags = Namespace(index_hosts=hosts, refusals=str(tmp_path / "refusals"))
    return index_proxy.IndexesOnly("", flags, None, None)


@pytest.mark.parametrize(
    ("answers", "taken"),
    [
        (["151.101.0.223"], "151.101.0.223"),
        (["10.0.0.7", "151.101.0.223"], "151.101.0.223"),
        (["127.0.0.1"], None),
        (["::ffff:127.0.0.1"], None),
        (["fe80::1%lo"], None),
        (["0.0.0.0"], None),
    ],
)
def test_what_is_connected_to_is_what_was_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: list[str], taken: str | None
) -> None:
    """A name that is resolved twice may lead elsewhere the second time (DNS rebinding)."""
    asked = []

    def resolve(host: str, port: int, **kind: object) -> list[Any]:
        asked.append(host)
        return [(0, 0, 0, "", (address, port)) for address in answers]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    own = plugin(tmp_path, {("pypi.org", 443): PUBLIC})
    if taken:
        assert own.resolve_dns("pypi.org", 443) == (taken, None)
    else:
        with pytest.raises(index_proxy.HttpRequestRejected):
            own.resolve_dns("pypi.org", 443)
    assert asked == ["pypi.org"]


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"this machine's own")

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def page() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever).start()
        yield server.server_port
        server.shutdown()


def test_a_server_reaches_nothing_of_this_machine(
    page: int, capsys: pytest.CaptureFixture[str]
) -> None:
    hosts = {("localhost", page): PRIVATE, ("127.0.0.1", page): HERE, ("pypi.org", 443): PUBLIC}
    names = (
        "LOCALHOST",
        "127.0.0.1",
        "localhost.",
        "2130706433",
        "0x7f000001",
        "127.1",
        "[::ffff:127.0.0.1]",
    )
    answers = {}
    with index_proxy.running(hosts, "remote:secret") as port:
        assert listening_at(port) == {"0100007F"}
        way = {"http": f"http://remote:secret@127.0.0.1:{port}"}
        opener = urllib.request.build_opener(urllib.request.ProxyHandler(way))
        for name in (*names, "0", "me@127.0.0.1"):
            try:
                answers[name] = opener.open(f"http://{name}:{page}/", timeout=20).read()
            except OSError:
                answers[name] = b""
        assert tunnelled(port, f"127.0.0.1:{page + 1}") == tunnelled(port, "pypi.org:22") == 403
        assert tunnelled(port, f"127.0.0.1:{page}") == 200
    assert {name for name, answer in answers.items() if answer} == {"127.0.0.1"}
    said = capsys.readouterr().err
    assert f"not reached through this machine: LOCALHOST:{page} (it leads to" in said
    assert "REMOTE_PROXY_HOSTS" in said


def tunnelled(port: int, place: str) -> int:
    """The status of a CONNECT."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as way:
        login = "Proxy-Authorization: Basic cmVtb3RlOnNlY3JldA=="
        way.sendall(f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n{login}\r\n\r\n".encode())
        return int(way.recv(100).split()[1])


def listening_at(port: int) -> set[str]:
    """The addresses, as the kernel writes them, that a port is listened on."""
    if not sys.platform.startswith("linux"):
        return {"0100007F"}
    lines = [line for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").open()]
    places = [line.split()[1].split(":") for line in lines if line.split()[3] == "0A"]
    return {address for address, number in places if int(number, 16) == port}
