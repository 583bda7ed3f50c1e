"""Connections that share one pair of streams, in the order and the number in which they come."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from io import BytesIO

import pytest

from remote.errors import ProtocolError
from remote.job import relay
from remote.job.relay import DATA, OPEN, Relay
from tests.waiting import until

MUCH = os.urandom(3_000_000)


def echo(end: socket.socket) -> None:
    with end:
        while piece := end.recv(1 << 16):
            end.sendall(piece)


def echoing() -> socket.socket:
    """A connection to what sends back all that comes."""
    here, there = socket.socketpair()
    threading.Thread(target=echo, args=(there,), daemon=True).start()
    return here


def silent() -> socket.socket:
    raise ConnectionRefusedError


@contextlib.contextmanager
def led(connect: Callable[[], socket.socket]) -> Iterator[tuple[Relay, Callable[[], None]]]:
    """The end that opens connections; the other end makes them by `connect`. Beside it, what cuts
    the streams between the two."""
    (to_node, from_here), (to_here, from_node) = socket.socketpair(), socket.socketpair()
    node = Relay(from_here.makefile("rb"), to_here.makefile("wb"), connect)
    here = Relay(from_node.makefile("rb"), to_node.makefile("wb"))
    for end in (node, here):
        threading.Thread(target=end.run, daemon=True).start()

    def cut() -> None:
        for end in (to_node, to_here):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    yield here, cut
    cut()


def opened(here: Relay) -> socket.socket:
    near, far = socket.socketpair()
    near.settimeout(20)

    def carry() -> None:
        with far:
            here.carry(far)

    threading.Thread(target=carry, daemon=True).start()
    return near


def whole(end: socket.socket) -> bytes:
    return b"".join(iter(lambda: end.recv(1 << 16), b""))


def ask(here: Relay, data: bytes) -> bytes:
    with opened(here) as end:
        threading.Thread(target=lambda: (end.sendall(data), end.shutdown(socket.SHUT_WR))).start()
        return whole(end)


def test_what_is_sent_comes_whole_both_ways() -> None:
    with led(echoing) as (here, _):
        assert ask(here, MUCH) == MUCH
        assert ask(here, b"") == b""
        until(lambda: not here._streams)


def test_who_does_not_read_keeps_no_other_from_it() -> None:
    with led(echoing) as (here, _), opened(here) as slow:
        threading.Thread(target=lambda: slow.sendall(MUCH), daemon=True).start()
        until(lambda: [stream._room._value for stream in here._streams.values()] == [0])
        assert ask(here, b"quick") == b"quick"
        got = b""
        while len(got) < len(MUCH):
            got += slow.recv(1 << 20)
        assert got == MUCH


def test_who_is_gone_is_let_go_on_the_other_side() -> None:
    with led(echoing) as (here, _):
        end = opened(here)
        end.sendall(b"x" * 100_000)
        end.close()
        until(lambda: not here._streams)


def test_where_nothing_listens_the_connection_ends_at_once() -> None:
    with led(silent) as (here, _):
        assert ask(here, b"x" * 100) == b""
        until(lambda: not here._streams)


def test_all_connections_end_with_the_streams() -> None:
    with led(echoing) as (here, cut), opened(here) as end:
        end.sendall(b"x")
        assert end.recv(1) == b"x"
        cut()
        assert end.recv(1) == b""
        until(lambda: not here._streams)


def frame(kind: int, size: int, data: bytes) -> bytes:
    return struct.pack("!BII", kind, 1, size) + data + b"\n"


def test_the_other_end_can_neither_open_connections_nor_fill_this_machine() -> None:
    here = Relay(BytesIO(frame(OPEN, 0, b"") + frame(DATA, 1, b"x")), BytesIO())
    here.run()
    assert not here._streams
    with pytest.raises(ProtocolError, match="announces"):
        Relay(BytesIO(frame(DATA, relay.LONGEST + 1, b"")), BytesIO()).run()
    stream = here._add(1)
    with pytest.raises(ProtocolError, match="more than it may"):
        for _ in range(relay.WINDOW + 2):
            stream.take(DATA, b"x")
