"""A port of this machine that leads to where a service answers on the target.

To a server it is forwarded by `remote.connection`, over the login that is there. To a target on
this machine a thread hands the bytes on: a browser takes no sockets. To a node, to which no login
leads, all connections share one relay (`remote.job.relay`).
"""

from __future__ import annotations

import contextlib
import http.client
import http.server
import os
import secrets
import socket
import socketserver
import sys
import tempfile
import threading
import time
import webbrowser
from collections.abc import Callable, Iterator
from typing import IO

from remote.errors import ConfigError, ConnectError, ProtocolError
from remote.job.messages.jobs import LogAnswer, LogRequest
from remote.job.messages.services import ServiceAddress
from remote.job.relay import MARK, Relay
from remote.job.status import ENDED, JobStatus
from remote.operations.jobs.follow import before_next_try
from remote.output import say
from remote.rpc.wire import LONGEST_NOISE
from remote.session import TargetSession
from remote.transport.process import PIPE, last_line, start

HERE = "127.0.0.1"

#: How long a service may take to answer through a tunnel that was just made, in seconds.
PATIENCE = 20.0

AGAIN = "The same command reaches it again."


def is_free(port: int) -> bool:
    """Whether a port of loopback can be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HERE, port))
        except OSError:
            return False
    return True


def free_port(preferred: int) -> int:
    """`preferred` where nobody listens on it, else any that is free."""
    if is_free(preferred):
        return preferred
    with socket.socket() as probe:
        probe.bind((HERE, 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def tunnel(server: TargetSession, address: ServiceAddress, port: int) -> Iterator[None]:
    """Have `port` here lead to the service; raises ConfigError or ConnectError.

    The address is a socket there, or a port of the target's loopback, or such of a job's node.
    """
    if not is_free(port):
        raise ConfigError(
            f"Port {port} of this machine is in use.", "Leave --port out, or choose another one."
        )
    if address.job:
        with _relayed(server, address.job, port):
            yield
        return
    if server.ssh is None:
        with _listening(port, lambda end: _lead(end, address)):
            yield
        return
    # Fabric takes a third of a second to import: only who opens a tunnel waits for it.
    from remote.connection import Connection

    with (
        Connection(server.target, server.ssh.config) as connection,
        connection.forward_local(port, address.port or None, HERE, HERE, address.socket),
    ):
        yield


@contextlib.contextmanager
def _relayed(server: TargetSession, job: str, port: int) -> Iterator[None]:
    """Have `port` lead to a job's node, by one program there; raises ConnectError."""
    server.connect()
    argv = server.agent.wire.agent(server.agent.name, "relay", server.key, job)
    with (
        tempfile.TemporaryFile() as errors,
        start(argv, stdin=PIPE, stdout=PIPE, stderr=errors.fileno(), apart=True) as program,
    ):
        assert program.stdin and program.stdout
        try:
            if not _begins(program.stdout):
                program.wait()
                errors.seek(0)
                words = last_line(errors.read(LONGEST_NOISE).decode("utf-8", "replace"))
                raise ConnectError(
                    f"The node of {job} can't be reached: {words}",
                    f"Does it still run? inv remote-ps {job}",
                )
            relay = Relay(program.stdout, program.stdin)
            with _listening(port, relay.carry) as close:
                # Where the way to the node breaks, the port is free again, which `hold` looks at.
                reader = threading.Thread(target=_run, args=(relay, close), daemon=True)
                reader.start()
                yield
        finally:
            # srun hands the signal on to its program.
            program.terminate()


def _begins(output: IO[bytes]) -> bool:
    """Whether the relay's first word comes, behind what a login shell prints."""
    noise = 0
    while noise < LONGEST_NOISE:
        line = output.readline(LONGEST_NOISE)
        if not line or line.endswith(MARK):
            return bool(line)
        noise += len(line)
    return False


def _run(relay: Relay, close: Callable[[], None]) -> None:
    try:
        relay.run()
    except ProtocolError as error:
        say(error.message)
    finally:
        close()


def _lead(end: socket.socket, address: ServiceAddress) -> None:
    """Hand on what a connection and a service of this machine have for each other."""
    kind = socket.AF_UNIX if address.socket else socket.AF_INET
    with contextlib.suppress(OSError), socket.socket(kind) as far:
        far.connect(address.socket or (HERE, address.port))
        back = threading.Thread(target=_hand_on, args=(far, end), daemon=True)
        back.start()
        _hand_on(end, far)
        back.join()


@contextlib.contextmanager
def _listening(port: int, lead: Callable[[socket.socket], None]) -> Iterator[Callable[[], None]]:
    """Have each connection to `port` be led on by a thread of its own; the block gets what ends that."""

    class Connection(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            lead(self.request)

    class Listener(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False
        allow_reuse_address = True

    with Listener((HERE, port), Connection) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()

        def close() -> None:
            listener.shutdown()
            listener.server_close()

        try:
            yield close
        finally:
            close()


def _hand_on(source: socket.socket, to: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(1 << 16):
            to.sendall(piece)
        to.shutdown(socket.SHUT_WR)


def check(server: TargetSession, port: int) -> None:
    """Ask the service something through its tunnel; raises ConnectError where nothing answers."""
    deadline = time.monotonic() + PATIENCE
    while True:
        asked = http.client.HTTPConnection(HERE, port, timeout=PATIENCE)
        try:
            asked.request("HEAD", "/")
            asked.getresponse()
            return
        except (OSError, http.client.HTTPException):
            if time.monotonic() > deadline:
                raise ConnectError(
                    f"Nothing answers through the tunnel to {server.target}.",
                    "Its sshd must allow it: AllowTcpForwarding, and AllowStreamLocalForwarding.",
                ) from None
        finally:
            asked.close()
        time.sleep(0.1)


def hold(
    server: TargetSession, job: str, address: ServiceAddress, port: int, opened: Callable[[], None]
) -> JobStatus:
    """Keep a tunnel to the service until that ends; its status comes back.

    `opened` is called once the service was reached. A tunnel that breaks later is opened again.
    """

    def look(answer: LogAnswer) -> None:
        """The wait may have a login of its own, and outlive the tunnel's: with each sign of life
        that comes, there is a look whether the port is still listened on."""
        if is_free(port):
            raise ConnectError("The tunnel broke.", AGAIN)

    request = LogRequest(key=server.key, job=job, wait=True, silent=True)
    reached = broken = 0.0
    while True:
        try:
            # To a node whose job has ended, no tunnel opens again.
            if broken:
                status = status_of(server.agent.call(request.replace(wait=False)))
                if status.state in ENDED:
                    return status
            with tunnel(server, address, port):
                if not reached:
                    check(server, port)
                    opened()
                elif broken:
                    say("The tunnel is open again.")
                reached, broken = time.monotonic(), 0.0
                return status_of(server.agent.call(request, on_answer=look))
        except (ConnectError, ConfigError) as error:
            if not reached:
                raise
            broken = before_next_try(error, broken)


def status_of(last: LogAnswer) -> JobStatus:
    """The job's status, which the last answer has; raises ConnectError where that never came."""
    if last.status is None:
        raise ConnectError("The connection to the server broke.", AGAIN)
    return last.status


#: Where a page can be shown on Linux; elsewhere it always can.
SHOWN_BY = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")


def show(address: str) -> bool:
    """Open `address`; False where there is no browser to open it with.

    A browser is started with the address on its command line, which every user of this machine can
    read. So it gets another one, which leads to the real one, once.
    """
    if sys.platform.startswith("linux") and not any(map(os.environ.get, SHOWN_BY)):
        return False
    try:
        return webbrowser.open(_once(address))
    except webbrowser.Error:
        return False


def _once(address: str) -> str:
    """An address of this machine that sends the first who asks on to `address`."""
    secret = "/" + secrets.token_urlsafe(24)

    class Once(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_ours = self.path == secret
            self.send_response(302 if is_ours else 404)
            if is_ours:
                self.send_header("Location", address)
            self.end_headers()
            if is_ours:
                # From a thread of its own: shutdown waits until this request is answered.
                threading.Thread(target=server.shutdown).start()

        def log_message(self, *words: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer((HERE, 0), Once)

    def serve() -> None:
        with server:
            server.serve_forever()

    threading.Thread(target=serve, daemon=True).start()
    return f"http://{HERE}:{server.server_port}{secret}"
