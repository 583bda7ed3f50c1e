"""The proxy on this machine that a server installs through: it leads to package indexes alone."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import proxy
from proxy.common.types import HostPort as Source
from proxy.http.exception import HttpRequestRejected
from proxy.http.parser import HttpParser
from proxy.http.proxy import HttpProxyBasePlugin

from remote.operations.jobs.index_hosts import HostPort, allowed, may_lead_to
from remote.output import say, say_first

#: Bytes of what is noted of refusals: the server decides how many there are.
LONGEST = 4000


class IndexesOnly(HttpProxyBasePlugin):  # type: ignore[misc]
    """Refuses every other host, and addresses that an index doesn't have.

    It runs in a process of proxy.py's own, which knows `hosts` and `refusals` by its flags.
    """

    def before_upstream_connection(self, request: HttpParser) -> HttpParser:
        """Let a request for an index pass; raises HttpRequestRejected."""
        host, port = (request.host or b"").decode("utf-8", "replace"), request.port or 0
        if allowed(self.flags.index_hosts, host, port) is None:
            self._refuse(f"{host}:{port}", "no package index that this machine knows")
        return request

    def resolve_dns(self, host: str, port: int) -> tuple[str | None, Source | None]:
        """The address that is connected to, which is the one that was looked at; raises
        HttpRequestRejected."""
        reach = allowed(self.flags.index_hosts, host, port) or 0
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
        addresses = [str(each[4][0]) for each in found]
        # A link-local one names its interface.
        usable = [text for text in addresses if may_lead_to(text.partition("%")[0], reach)]
        if not usable:
            self._refuse(f"{host}:{port}", f"it leads to {addresses[0]}, which is private")
        return usable[0], None

    def _refuse(self, place: str, reason: str) -> None:
        line = f"{place} ({reason})\n".encode("utf-8", "replace")
        with contextlib.suppress(OSError), open(self.flags.refusals, "ab") as file:
            if file.tell() + len(line) < LONGEST:
                file.write(line)
        raise HttpRequestRejected(status_code=403, reason=b"Forbidden", body=line)


@contextlib.contextmanager
def running(hosts: Mapping[HostPort, int], login: str) -> Iterator[int]:
    """The port of this machine's loopback where it listens; what was refused is said at the end."""
    flags = ["--hostname", "127.0.0.1", "--port", "0", "--basic-auth", login]
    workers = ["--threaded", "--num-workers", "1", "--num-acceptors", "1", "--log-level", "c"]
    with tempfile.TemporaryDirectory(prefix="proxy-") as folder:
        refusals = Path(folder) / "refusals"
        server = proxy.Proxy([*flags, *workers], plugins=[IndexesOnly])
        server.flags.index_hosts, server.flags.refusals = dict(hosts), os.fspath(refusals)
        with server:
            yield server.flags.port
        if refusals.exists():
            _tell(refusals.read_text("utf-8", "replace").splitlines())


def _tell(lines: list[str]) -> None:
    refused = [f"not reached through this machine: {line}" for line in dict.fromkeys(lines)]
    hint = "To let a host of yours be reached: REMOTE_PROXY_HOSTS=host[:port] in .env"
    say_first(refused, "hosts")
    say(hint)
