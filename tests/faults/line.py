"""A bad line in user space: what a kernel without netem can't do, with no right but over a network
of one's own (unshare --net)."""

from __future__ import annotations

import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

#: linux/if_tun.h
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000

#: Of this machine on the line, and the address by which it reaches itself over the line.
NEAR, FAR = "10.77.0.1", "10.77.0.2"


@dataclass
class Line:
    """`rate` in bytes a second and `delay` in seconds, both for each way; `loss` a share.

    `carried` and `lost` count packets.
    """

    rate: float
    delay: float
    loss: float
    chance: random.Random = field(default_factory=lambda: random.Random(1))
    carried: int = 0
    lost: int = 0

    @contextmanager
    def up(self) -> Iterator[None]:
        """Have FAR lead to this machine, over the line."""
        device = os.open("/dev/net/tun", os.O_RDWR)
        done = threading.Event()
        try:
            flags = struct.pack("16sH", b"line", IFF_TUN | IFF_NO_PI)
            fcntl.ioctl(device, TUNSETIFF, flags)
            for words in (f"address add {NEAR}/30 dev line", "link set line up mtu 1500"):
                subprocess.run(["ip", *words.split()], check=True)
            relay = threading.Thread(target=self._relay, args=(device, done), daemon=True)
            relay.start()
            yield
            done.set()
            relay.join()
        finally:
            done.set()
            os.close(device)

    def _relay(self, device: int, done: threading.Event) -> None:
        under_way: list[tuple[float, int, bytes]] = []
        free = {True: 0.0, False: 0.0}
        while not done.is_set():
            pause = min(max(under_way[0][0] - time.monotonic(), 0), 0.1) if under_way else 0.1
            if select.select([device], [], [], pause)[0]:
                packet = os.read(device, 65536)
                if self._takes(packet):
                    out = packet[16:20] == bytes(map(int, FAR.split(".")))
                    free[out] = max(free[out], time.monotonic()) + len(packet) / self.rate
                    arrival = free[out] + self.delay
                    heapq.heappush(under_way, (arrival, self.carried, _turned(packet)))
            while under_way and under_way[0][0] <= time.monotonic():
                os.write(device, heapq.heappop(under_way)[2])

    def _takes(self, packet: bytes) -> bool:
        if packet[0] >> 4 != 4:
            return False
        lost = self.chance.random() < self.loss
        self.lost += lost
        self.carried += not lost
        return not lost


def _turned(packet: bytes) -> bytes:
    """With its two addresses exchanged, so that it comes from there; all checksums stay right."""
    return packet[:12] + packet[16:20] + packet[12:16] + packet[20:]
