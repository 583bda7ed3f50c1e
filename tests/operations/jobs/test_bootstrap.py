"""What is brought to a server, and the way to the internet through this machine."""

from __future__ import annotations

import http.server
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from remote.agent.target_dir import machine
from remote.config import Project
from remote.errors import ConnectError, TargetError
from remote.job.messages.target import Machine
from remote.job.paths import CACHE
from remote.operations.jobs import bootstrap
from remote.session import TargetSession
from remote.target import Target
from remote.transport.process import Result
from scripts.sshd import PrivateSshd
from tests.security.test_package_indexes import listening_at
from tests.waiting import until


def theirs(system: str, name: str, libc: str = "") -> Machine:
    return Machine(system, name, libc)


@pytest.mark.parametrize(
    ("described", "expected"),
    [
        (theirs("Linux", "x86_64", "gnu"), "x86_64-manylinux2014"),
        (theirs("Linux", "aarch64", "gnu"), "aarch64-manylinux2014"),
        (theirs("Linux", "x86_64", "musl"), "x86_64-unknown-linux-musl"),
        (theirs("Darwin", "arm64"), "aarch64-apple-darwin"),
        (theirs("Darwin", "x86_64"), "x86_64-apple-darwin"),
    ],
)
def test_a_machine_has_a_name_that_uv_knows(described: Machine, expected: str) -> None:
    assert bootstrap.python_platform(described) == expected


@pytest.mark.parametrize(
    "described",
    [
        theirs("Linux", "x86_64", "gnu"),
        theirs("Linux", "aarch64", "gnu"),
        theirs("Linux", "x86_64", "musl"),
        theirs("Linux", "aarch64", "musl"),
        theirs("Darwin", "arm64"),
        theirs("Darwin", "x86_64"),
    ],
)
def test_uv_itself_takes_the_name(described: Machine, tmp_path: Path) -> None:
    argv = [
        str(bootstrap.own_uv()),
        "pip",
        "install",
        "--dry-run",
        "--offline",
        "--target",
        str(tmp_path),
    ]
    argv += ["--python-platform", bootstrap.python_platform(described), "no-such-package-anywhere"]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert "invalid value" not in done.stderr and "no-such-package" in done.stderr


def test_our_own_uv_runs() -> None:
    assert subprocess.run([bootstrap.own_uv(), "--version"], capture_output=True).returncode == 0


@pytest.fixture
def server(tmp_path: Path) -> TargetSession:
    (tmp_path / "proj").mkdir()
    return TargetSession.of(Project(tmp_path / "proj", {}), Target.parse(f"{tmp_path}/target"))


def test_our_own_is_brought_to_a_machine_like_ours(server: TargetSession, isolated: Path) -> None:
    bootstrap.bring_uv(server, machine())
    put = isolated / CACHE / "bin" / "uv"
    assert put.read_bytes() == bootstrap.own_uv().read_bytes()
    assert subprocess.run([put, "--version"], capture_output=True).returncode == 0


def test_one_that_can_not_be_fetched_is_told_with_the_way_by_hand(
    server: TargetSession, isolated: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    other = "aarch64" if machine().machine == "x86_64" else "x86_64"
    with pytest.raises(TargetError) as caught:
        bootstrap.bring_uv(server, theirs("Linux", other, "gnu"))
    assert f"{other}-manylinux2014" in caught.value.message
    assert "~/.local/bin" in caught.value.hint
    assert len(str(caught.value).splitlines()) <= 2
    assert not (isolated / CACHE / "bin" / "uv").exists()


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
def proxied(tmp_path: Path, sshd: PrivateSshd) -> Iterator[TargetSession]:
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
    proxied: TargetSession, page: str
) -> None:
    assert bootstrap.wants_proxy(proxied)
    settings = {**proxied.project.settings, "UV_INDEX_URL": f"{page}simple"}
    proxied.project = Project(proxied.project.root, settings)
    with bootstrap.through_this_machine(proxied) as proxy:
        assert fetched(page, proxy) == b"from the internet"
        assert listening_at(int(proxy.rpartition(":")[2])) == {"0100007F"}
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
    proxied: TargetSession, sshd: PrivateSshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert proxied.ssh
    monkeypatch.setattr(type(proxied.ssh), "tell_master", refuse)
    with pytest.raises(ConnectError, match="can't be forwarded.*not allowed") as caught:
        with bootstrap.through_this_machine(proxied):
            pass
    assert "REMOTE_PROXY" in caught.value.hint


def refuse(self: object, *words: str) -> Result:
    return Result(255, b"", "forwarding is not allowed")


def test_a_target_on_this_machine_needs_none(tmp_path: Path) -> None:
    local = TargetSession.of(
        Project(tmp_path, {"REMOTE_PROXY": "laptop"}), Target.parse("/elsewhere")
    )
    assert not bootstrap.wants_proxy(local)
    with pytest.raises(TargetError):
        with bootstrap.through_this_machine(local):
            pass
