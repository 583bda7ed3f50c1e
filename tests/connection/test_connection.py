"""The login, `connect()` and groups."""

from __future__ import annotations

import contextlib
import io
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import fabric
import pytest

import remote.transport.ssh
from remote.connection import Connection, connect, socket_address
from remote.errors import ConfigError, ConnectError
from scripts.sshd import PrivateSshd, free_port, running
from tests.waiting import until


def logins(sshd: PrivateSshd) -> int:
    return (sshd.folder / "sshd.log").read_text().count("Accepted publickey")


def test_no_paramiko_transport_is_made(gpu: Connection, sshd: PrivateSshd) -> None:
    gpu.run("true")
    gpu.sftp().listdir(".")
    plain = fabric.Connection("127.0.0.1", port=sshd.port)
    with pytest.raises(AssertionError, match="a paramiko transport was made"):
        plain.run("true")
    with pytest.raises(NotImplementedError):
        gpu.create_session()


def test_one_login_serves_all(
    gpu: Connection, make: Callable[..., Connection], sshd: PrivateSshd, here: str
) -> None:
    before = logins(sshd)
    gpu.run("true")
    assert logins(sshd) == before + 1
    gpu.run("tty", pty=True, hide=True)
    gpu.put(io.BytesIO(b"x"), f"{here}/x")
    make(sshd.config).run("true")
    assert logins(sshd) == before + 1


def test_a_block_ends_and_the_login_stays(
    gpu: Connection, make: Callable[..., Connection], sshd: PrivateSshd
) -> None:
    running = gpu.run("sleep 2; echo undisturbed", asynchronous=True)
    before = logins(sshd)
    with make(sshd.config) as other:
        other.run("true")
        session = other.sftp()
        assert other.is_connected
    assert session.ended and not other.is_connected
    assert running.join().stdout == "undisturbed\n"
    assert gpu.is_connected
    other.run("true")
    assert other.is_connected and logins(sshd) == before


def test_is_connected_follows_the_login(gpu: Connection) -> None:
    assert not gpu.is_connected
    gpu.open()
    assert gpu.is_connected
    gpu.ssh.close()
    until(lambda: not gpu.is_connected)
    gpu.run("true")
    assert gpu.is_connected


def test_fabric_reads_no_ssh_config(
    isolated: Path, make: Callable[..., Connection], sshd: PrivateSshd
) -> None:
    (isolated / ".ssh").mkdir()
    (isolated / ".ssh" / "config").write_text("Host gpu\n HostName elsewhere\n Port 1\n User no\n")
    connection = make(sshd.config)
    assert (connection.host, connection.port) == ("gpu", 22)
    assert connection.user != "no"
    assert connection.run("echo here", hide=True).stdout == "here\n"


@pytest.mark.parametrize("known", ["another key", "none"])
def test_a_wrong_host_key_is_refused(
    make: Callable[..., Connection],
    own_config: Callable[..., Path],
    sshd: PrivateSshd,
    known: str,
) -> None:
    other = (sshd.folder / "client_key.pub").read_text().split()[:2]
    line = f"[127.0.0.1]:{sshd.port} {' '.join(other)}\n"
    config = own_config("config", str(sshd.folder / "known_hosts"), str(sshd.folder / "others"))
    (sshd.folder / "others").write_text(line if known == "another key" else "")
    connection = make(config)
    for use in (lambda: connection.run("true"), lambda: connection.get("x"), connection.sftp):
        with pytest.raises(ConnectError, match="host key of gpu"):
            use()


def test_an_unknown_host_is_told(
    make: Callable[..., Connection], own_config: Callable[..., Path]
) -> None:
    config = own_config("config", "HostName 127.0.0.1", "HostName nowhere.invalid")
    with pytest.raises(ConnectError, match="'gpu' is not known"):
        make(config).run("true", warn=True)


def test_a_server_without_sftp_is_told(
    make: Callable[..., Connection], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scripts.sshd.SFTP_SERVERS", ())
    with running(PrivateSshd(tmp_path / "sshd", tmp_path / "there")) as server:
        connection = make(server.config)
        assert connection.run("echo here", hide=True).stdout == "here\n"
        with pytest.raises(ConnectError, match="does not answer to SFTP"):
            connection.get("x", tmp_path / "x")


@pytest.fixture
def in_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    (root / "src").mkdir(parents=True)
    (root / "tasks.py").touch()
    monkeypatch.chdir(root / "src")
    return root


def test_connect_finds_the_projects_server(
    in_project: Path, sshd: PrivateSshd, gpu: Connection
) -> None:
    (in_project / ".env").write_text(f"TARGET_DIR=gpu:proj\nREMOTE_SSH_CONFIG={sshd.config}\n")
    with connect() as server:
        assert server.run("pwd", hide=True).stdout == f"{sshd.home}\n"
        assert server.target.path == "proj" and server.ssh == gpu.ssh


def test_connect_takes_a_target(
    in_project: Path, sshd: PrivateSshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TARGET_DIR", "wrong:proj")
    monkeypatch.setenv("REMOTE_SSH_CONFIG", str(sshd.config))
    with connect("gpu6:other") as server:
        assert server.run("echo $SSH_CONNECTION", hide=True).stdout.startswith("::1 ")
    server.ssh.close()


def test_connect_needs_a_server(in_project: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no server to connect to"):
        connect(str(tmp_path / "elsewhere"))
    with pytest.raises(ConfigError, match="TARGET_DIR is not set"):
        connect()


@pytest.mark.parametrize("kind", [fabric.SerialGroup, fabric.ThreadingGroup])
def test_a_group_runs_on_all(
    make: Callable[..., Connection],
    sshd: PrivateSshd,
    here: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[fabric.Group],
) -> None:
    monkeypatch.chdir(tmp_path)
    members = [make(sshd.config), make(sshd.config, "gpu6")]
    (sshd.home / here / "x").write_text("y")
    with kind.from_connections(members) as group:
        said = {one.host: result.stdout for one, result in group.run("echo a", hide=True).items()}
        assert said == {"gpu": "a\n", "gpu6": "a\n"}
        group.get(f"{here}/x")
        assert Path("gpu/x").read_text() == Path("gpu6/x").read_text() == "y"
    assert not any(member.is_connected for member in members)


def test_one_name_in_two_configurations_is_two_servers(
    make: Callable[..., Connection], own_config: Callable[..., Path]
) -> None:
    members = [make(own_config(f"config{number}")) for number in range(3)]
    group = fabric.ThreadingGroup.from_connections(members)
    assert set(group.run("true", hide=True)) == set(members) and len(set(members)) == 3


def test_a_group_tells_which_failed(
    make: Callable[..., Connection], own_config: Callable[..., Path], gpu: Connection
) -> None:
    lost = make(own_config("config", "HostName 127.0.0.1", "HostName nowhere.invalid"))
    group = fabric.ThreadingGroup.from_connections([gpu, lost])
    with pytest.raises(fabric.exceptions.GroupException) as caught:
        group.run("true", hide=True)
    assert set(caught.value.result.succeeded) == {gpu}
    assert isinstance(caught.value.result.failed[lost], ConnectError)


class Upper(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(self.rfile.readline().upper())


@pytest.fixture
def service() -> Iterator[int]:
    """The port of a small server on this machine, which is the GPU server, too."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Upper) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def ask(port: int, words: bytes = b"hello\n") -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as wire:
        wire.sendall(words)
        return wire.makefile("rb").readline()


def test_a_local_port_leads_there_for_the_block(gpu: Connection, service: int) -> None:
    port = free_port()
    with gpu.forward_local(port, service):
        assert [ask(port) for _ in range(3)] == [b"HELLO\n"] * 3
    with pytest.raises(ConnectionRefusedError):
        ask(port)
    assert gpu.run("echo still", hide=True).stdout == "still\n"


def test_a_forward_ends_with_an_error_in_the_block(gpu: Connection, service: int) -> None:
    port = free_port()
    with pytest.raises(ZeroDivisionError):
        with gpu.forward_local(port, service, remote_host="127.0.0.1"):
            ask(port)
            raise ZeroDivisionError
    with pytest.raises(ConnectionRefusedError):
        ask(port)


def test_a_port_that_is_taken_is_told(gpu: Connection, service: int) -> None:
    with pytest.raises(ConnectError, match="can't be forwarded"):
        with gpu.forward_local(service, free_port()):
            pytest.fail("it was forwarded")
    with pytest.raises(ConnectError, match="can't be forwarded"):
        with gpu.forward_remote(service, free_port()):
            pytest.fail("it was forwarded")


def test_a_remote_port_leads_here_for_the_block(gpu: Connection, service: int) -> None:
    port = free_port()
    asking = f"exec 3<>/dev/tcp/127.0.0.1/{port} && echo hello >&3 && cat <&3"
    with gpu.forward_remote(port, service):
        assert gpu.run(asking, hide=True).stdout == "HELLO\n"
    assert gpu.run(asking, hide=True, warn=True).failed


def test_a_forward_lives_longer_than_an_unused_login(
    make: Callable[..., Connection],
    own_config: Callable[..., Path],
    service: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A busy machine takes a second from the login to the forward.
    monkeypatch.setattr(remote.transport.ssh, "PERSIST", 3)
    connection, port = make(own_config("config")), free_port()
    with connection.forward_local(port, service):
        time.sleep(5)
        assert ask(port) == b"HELLO\n"
    # To ask the master itself would keep it.
    until(lambda: not connection.ssh.control.exists())
    assert not connection.is_connected


def test_a_local_port_leads_to_a_socket_there(gpu: Connection, here: str) -> None:
    path = f"/tmp/{here}"[:90]
    with socketserver.ThreadingUnixStreamServer(path, Upper) as server:
        threading.Thread(target=server.serve_forever).start()
        port = free_port()
        with gpu.forward_local(port, remote_socket=path):
            assert ask(port) == b"HELLO\n"
        with pytest.raises(ConnectionRefusedError):
            ask(port)
        server.shutdown()
    Path(path).unlink()


@pytest.mark.parametrize("path", ["/tmp/${HOME}", "/tmp/%h", "relative", "/a:/b", "", "/a\nb"])
def test_a_socket_that_ssh_would_read_otherwise_is_refused(path: str) -> None:
    with pytest.raises(ConnectError, match="no plain path"):
        socket_address(path)


def test_the_server_chooses_a_port_and_takes_it_back(gpu: Connection, service: int) -> None:
    with gpu.forward_remote(0, service, local_host="127.0.0.1") as port:
        assert ask(port) == b"HELLO\n"

    def is_closed() -> bool:
        try:
            ask(port)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
        return False

    # The master doesn't wait for the server's word that it has.
    until(is_closed)


def test_the_users_own_forwards_stay_out_of_it(
    make: Callable[..., Connection], own_config: Callable[..., Path], service: int
) -> None:
    theirs, ours = free_port(), free_port()
    line = f"Host gpu\n  LocalForward {theirs} 127.0.0.1:{service}\n"
    connection = make(own_config("config", "Host gpu\n", line))
    with connection.forward_local(ours, service):
        assert ask(ours) == b"HELLO\n"
        with pytest.raises(ConnectionRefusedError):
            ask(theirs)


def test_a_port_that_ssh_does_not_tell_is_no_port(
    gpu: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = contextlib.nullcontext("")
    monkeypatch.setattr(Connection, "_forwarding", lambda *words: silent)
    with pytest.raises(ConnectError, match="which port") as told, gpu.forward_remote(0, 1):
        pytest.fail("it was forwarded")
    assert "in place of 0" in told.value.hint
