"""What a source of GPU facts has to tell. A module with these names is one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, NamedTuple, Optional, Protocol, Tuple


@dataclass(frozen=True)
class GpuProcess:
    """A process that computes on a GPU. What can't be told is empty, or 0. Memory in MiB."""

    pid: int
    memory: int
    user: str
    name: str


@dataclass(frozen=True)
class Gpu:
    """One card. Memory in MiB, load in percent; `fault` is the source's word for a broken card.

    `uuid` is its identity everywhere: `index` is the source's own order, which is not CUDA's.
    """

    index: int
    uuid: str
    name: str
    memory_total: int
    memory_used: int
    load: Optional[int]
    driver: str
    processes: Tuple[GpuProcess, ...] = ()
    fault: str = ""

    @property
    def memory_free(self) -> int:
        return self.memory_total - self.memory_used


class MemoryUse(NamedTuple):
    """How much memory of a card, in MiB, is in use now."""

    uuid: str
    used: int


class GpuSource(Protocol):
    """A program that knows the GPUs of a machine."""

    #: The variable that tells a process by UUIDs which GPUs it may use.
    VISIBLE_DEVICES: str

    def is_present(self) -> bool:
        """Whether this machine has the program. Asked at every start of a job: it must be quick."""

    def gpus(self) -> List[Gpu]:
        """All cards, by index. Raises JobError: one that can't be seen isn't taken for absent."""

    def runtime_version(self) -> str:
        """The newest CUDA (ROCm, …) that the driver serves; empty where nobody tells."""

    def memory_command(self) -> List[str]:
        """argv of a program that prints the use of each card's memory until it is ended."""

    def memory_use(self, line: str) -> Optional[MemoryUse]:
        """What a line of that program says; None where it says something else."""


def plain(text: str, limit: int = 64) -> str:
    """What strangers wrote, without control characters, which a terminal would obey, and not too long."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:limit])
