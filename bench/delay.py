"""A TCP proxy on loopback that makes the way longer, and no narrower.

What goes in comes out `delay` seconds later, in order, in either direction. As many bytes as a fast
network would hold may be on their way at once. A connection is made as a real one would be: its
handshake takes a round trip, so the other end hears of it after three ways.

It is a process of its own (`python -m bench.delay PORT MILLISECONDS`) which tells its port and ends
when its standard input is closed, so that it can't outlive whoever started it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from bench.stage import ROOT, Failed

PIECE = 1 << 16

#: Pieces that may be on their way at once, in each direction (256 MB if they are full).
IN_FLIGHT = 4096


@contextlib.contextmanager
def delaying(port: int, milliseconds: float) -> Iterator[int]:
    """The port of a proxy to `port` on this machine, each way taking so many milliseconds more."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.delay", str(port), str(milliseconds)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin and process.stdout
    try:
        line = process.stdout.readline()
        if not line:
            raise Failed("the delaying proxy did not start")
        yield int(line)
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


@dataclass(frozen=True)
class Quality:
    """What a proxy does to a connection."""

    round_trip: float  # seconds
    rate: float  # bytes a second


def quality(milliseconds: float, volume: int = 64 << 20) -> Quality:
    """Measured with an echo and a bulk transfer through a proxy of this delay."""
    with _sink(volume) as port, delaying(port, milliseconds) as near:
        with socket.create_connection(("127.0.0.1", near)) as wire:
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            trips = [_exchange(wire, 1) for _ in range(6)][1:]
            bulk = _exchange(wire, volume)
    trip = sorted(trips)[len(trips) // 2]
    return Quality(trip, volume / max(bulk - trip, 1e-6))


def _exchange(wire: socket.socket, size: int) -> float:
    """Seconds until the sink has answered to `size` bytes."""
    start = time.perf_counter()
    wire.sendall(bytes(size))
    if not wire.recv(1):
        raise Failed("the delaying proxy broke the connection")
    return time.perf_counter() - start


@contextlib.contextmanager
def _sink(volume: int) -> Iterator[int]:
    """The port of a server that answers to the first single bytes, then to `volume` bytes."""

    def serve() -> None:
        wire, _ = listener.accept()
        with wire:
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for size in (1, 1, 1, 1, 1, 1, volume):
                while size:
                    size -= len(wire.recv(min(size, 1 << 20)))
                wire.sendall(b".")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(timeout=5)


async def _serve(port: int, delay: float) -> None:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await _bridge(reader, writer, port, delay)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=PIECE)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


async def _bridge(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, delay: float
) -> None:
    onwards: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(IN_FLIGHT)
    taking = asyncio.create_task(_take(reader, onwards, delay))
    try:
        await asyncio.sleep(3 * delay)
        back, out = await asyncio.open_connection("127.0.0.1", port, limit=PIECE)
        for end in (writer, out):
            wire = end.get_extra_info("socket")
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        backwards: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(IN_FLIGHT)
        taking_back = asyncio.create_task(_take(back, backwards, delay))
        try:
            await asyncio.gather(_give(onwards, out), _give(backwards, writer))
        finally:
            taking_back.cancel()
            out.close()
    finally:
        taking.cancel()
        writer.close()


async def _take(
    reader: asyncio.StreamReader, way: asyncio.Queue[tuple[float, bytes]], delay: float
) -> None:
    """Put what arrives on its way, with the time it is due at the other end; empty is the end."""
    piece = b"."
    while piece:
        try:
            piece = await reader.read(PIECE)
        except OSError:
            piece = b""
        await way.put((time.monotonic() + delay, piece))


async def _give(way: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
    while True:
        due, piece = await way.get()
        left = due - time.monotonic()
        if left > 0:
            await asyncio.sleep(left)
        if not piece:
            with contextlib.suppress(OSError):
                writer.write_eof()
            return
        writer.write(piece)
        await writer.drain()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2]) / 1000))
    # The thread that waited for standard input is done; connections still open just end.
    os._exit(0)
