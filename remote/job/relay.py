"""Many connections over the two standard streams of a program: the way to a service on a node, to which
a scheduler opens streams and no port.

Both ends are the same, but that one alone opens connections. A frame is a header, data, and a line
end: srun hands on what a program writes line by line.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import socket
import struct
import threading
from typing import IO, Callable, Dict, Optional

from remote.errors import ProtocolError

#: What the end on the node writes first; what stands before it is a login shell's.
MARK = b"==remote-relay==\n"

#: The kind of a frame, the connection that it belongs to, the bytes of data that follow.
_HEADER = struct.Struct("!BII")

#: Kinds: a connection is opened, with its first data; more data; nothing more comes; BATCH frames of
#: data were taken.
OPEN, DATA, END, TAKEN = range(4)

#: Bytes of data in a frame, and frames of a connection that wait to be taken: who reads slowly
#: stops its own connection, and no other.
LONGEST = 1 << 15
WINDOW = 32

#: Each frame that goes out while another isn't acknowledged waits for that, 40 ms (srun's streams are
#: plain TCP): few are sent.
BATCH = WINDOW // 2


class Relay:
    """One end: what it is told by `source` and writes to `sink`. `connect` makes the connections that
    the other end opens; without it, that may open none."""

    def __init__(
        self,
        source: IO[bytes],
        sink: IO[bytes],
        connect: Optional[Callable[[], socket.socket]] = None,
    ) -> None:
        self._source, self._sink, self._connect = source, sink, connect
        self._writing = threading.Lock()
        self._numbers = itertools.count(1)
        self._streams: Dict[int, _Stream] = {}
        self._is_over = False

    def run(self) -> None:
        """Hand on what comes until the other end is gone, which ends all connections.

        Raises ProtocolError for what the other end may not send.
        """
        try:
            while True:
                header = self._source.read(_HEADER.size)
                if len(header) < _HEADER.size:
                    return
                kind, number, size = _HEADER.unpack(header)
                if size > LONGEST:
                    raise ProtocolError(f"The relay announces {size} bytes.")
                data = self._source.read(size + 1)
                if len(data) <= size:
                    return
                self._take(kind, number, data[:-1])
        finally:
            self._is_over = True
            for stream in list(self._streams.values()):
                stream.abort()

    def carry(self, end: socket.socket) -> None:
        """Lead a connection of this machine's to the other end, once it says something, until both
        have ended it."""
        first = _received(end)
        if first:
            number = next(self._numbers)
            stream = self._add(number)
            self._send(number, OPEN, first)
            self._hold(number, stream, end)

    def _take(self, kind: int, number: int, data: bytes) -> None:
        # Nothing here waits: what one connection does keeps no other from its frames.
        stream = self._streams.get(number)
        if stream:
            stream.take(kind, data)
        elif kind == OPEN and self._connect:
            stream = self._add(number)
            stream.take(DATA, data)
            words = (number, stream, self._connect)
            threading.Thread(target=self._answer, args=words, daemon=True).start()

    def _answer(self, number: int, stream: _Stream, connect: Callable[[], socket.socket]) -> None:
        try:
            end = connect()
        except OSError:
            # Whoever opened the connection sees it end at once.
            end, far = socket.socketpair()
            far.close()
        with end:
            self._hold(number, stream, end)

    def _add(self, number: int) -> _Stream:
        def send(kind: int, data: bytes = b"") -> None:
            self._send(number, kind, data)

        stream = self._streams[number] = _Stream(send)
        return stream

    def _hold(self, number: int, stream: _Stream, end: socket.socket) -> None:
        try:
            if not self._is_over:
                stream.carry(end)
        finally:
            del self._streams[number]

    def _send(self, number: int, kind: int, data: bytes = b"") -> None:
        # Where the other end is gone, `run` ends what there is.
        with self._writing, contextlib.suppress(OSError, ValueError):
            self._sink.write(_HEADER.pack(kind, number, len(data)) + data + b"\n")
            self._sink.flush()


class _Stream:
    """One connection at one end."""

    def __init__(self, send: Callable[..., None]) -> None:
        self._send = send
        self._arrived: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._room = threading.Semaphore(WINDOW)
        self._end: Optional[socket.socket] = None

    def take(self, kind: int, data: bytes) -> None:
        """Take a frame of the other end's; raises ProtocolError for more than that may send."""
        if kind == TAKEN:
            for _ in range(BATCH):
                self._room.release()
        elif kind in (DATA, END):
            if self._arrived.qsize() > WINDOW:
                raise ProtocolError("The relay sends more than it may.")
            self._arrived.put(data if kind == DATA else b"")

    def carry(self, end: socket.socket) -> None:
        """Hand on both ways until each has ended."""
        self._end = end
        back = threading.Thread(target=self._deliver, args=(end,), daemon=True)
        back.start()
        self._collect(end)
        back.join()

    def abort(self) -> None:
        """End it, since the other end is gone."""
        self._arrived.put(b"")
        self._room.release()
        if self._end:
            _shut(self._end, socket.SHUT_RDWR)

    def _collect(self, end: socket.socket) -> None:
        while self._room.acquire():
            data = _received(end)
            if not data:
                break
            self._send(DATA, data)
        self._send(END)

    def _deliver(self, end: socket.socket) -> None:
        """Have `end` read what arrives; where it reads no more, it is taken all the same."""
        ways = socket.SHUT_WR
        for count, data in enumerate(iter(self._arrived.get, b""), 1):
            try:
                end.sendall(data)
            except OSError:
                ways = socket.SHUT_RDWR
                _shut(end, ways)
            if count % BATCH == 0:
                self._send(TAKEN)
        _shut(end, ways)


def _received(end: socket.socket) -> bytes:
    """What comes next; nothing where nothing more does."""
    with contextlib.suppress(OSError):
        return end.recv(LONGEST)
    return b""


def _shut(end: socket.socket, ways: int) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(ways)
