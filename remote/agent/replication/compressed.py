"""A file, compressed by several processors at once."""

from __future__ import annotations

import os
import threading
import zlib
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Deque

PART = 1 << 20
"""Bytes that are compressed together."""
THREADS = 4
"""zlib lets other threads go on meanwhile. A server is shared: not as many as it has processors."""

#: Of a zlib stream (RFC 1950, 2.2; RFC 1951, 3.2): its head, and an empty last block.
_HEAD, _END = b"\x78\x01", b"\x03\x00"


class _Part(threading.Thread):
    """A part that is being compressed: blocks that refer to no other part, none of them the last."""

    def __init__(self, data: bytes) -> None:
        super().__init__(daemon=True)
        self._data, self._blocks = data, b""
        # The account may be at its limit of threads.
        with suppress(RuntimeError):
            self.start()

    def run(self) -> None:
        # Rows repeat their words: even the fastest setting makes them a quarter as long.
        packer = zlib.compressobj(1, wbits=-zlib.MAX_WBITS)
        self._blocks = packer.compress(self._data) + packer.flush(zlib.Z_SYNC_FLUSH)

    def blocks(self) -> bytes:
        if self.ident is not None:
            self.join()
        # Without a thread, or where it failed: done here it is done, or says why not.
        if not self._blocks:
            self.run()
        return self._blocks


def compressed(file: Path) -> Path:
    """One zlib stream in the place of a file, which is removed; only its owner may read it."""
    packed, checksum = file.with_name(f"{file.name}.z"), zlib.adler32(b"")
    waiting: Deque[_Part] = deque()
    with open(str(file), "rb") as source, open(str(packed), "wb", opener=_private) as out:
        out.write(_HEAD)
        for data in iter(lambda: source.read(PART), b""):
            checksum = zlib.adler32(data, checksum)
            waiting.append(_Part(data))
            if len(waiting) == THREADS:
                out.write(waiting.popleft().blocks())
        for part in waiting:
            out.write(part.blocks())
        out.write(_END + checksum.to_bytes(4, "big"))
    file.unlink()
    return packed


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
