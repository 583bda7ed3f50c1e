"""What a source of GPU facts has to tell. A module with these names is one."""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Protocol

from remote.job.messages.gpus import Gpu


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
