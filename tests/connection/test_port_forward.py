"""Forwarded ports, while their block runs."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import remote.transport.ssh
from remote.connection import Connection
from remote.connection.port_forward import socket_address
from remote.errors import ConnectError
from scripts.sshd import free_port
from tests.waiting import until


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
    monkeypatch.setattr(remote.transport.ssh, "PERSIST", 1)
    connection, port = make(own_config("config")), free_port()
    with connection.forward_local(port, service):
        time.sleep(3)
        assert ask(port) == b"HELLO\n"
    until(lambda: not connection.is_connected)


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
