"""Where the facts about this machine's GPUs come from: a row for each program that tells them."""

from __future__ import annotations

from typing import Dict, Iterable, Iterator, List, Optional, Protocol

from remote.agent.gpus.sample import GpuSample
from remote.agent.gpus.sources import amd_smi, nvidia_smi, rocm_smi
from remote.job.messages.gpus import Gpu


class GpuSource(Protocol):
    """A program that knows the GPUs of a machine. A module with these names is one."""

    #: The variable that tells a process by UUIDs which GPUs it may use.
    VISIBLE_DEVICES: str

    def is_present(self) -> bool:
        """Whether this machine has the program. Asked at every start of a job: it must be quick."""

    def gpus(self) -> List[Gpu]:
        """All cards, by index. Raises JobError: one that can't be seen isn't taken for absent."""

    def runtime_version(self) -> str:
        """The newest CUDA (ROCm, …) that the driver serves; empty where nobody tells."""

    def watch_command(self, uuids: Iterable[str]) -> List[str]:
        """argv of a program that prints what these cards do until it is ended."""

    def samples(self, lines: Iterable[str]) -> Iterator[GpuSample]:
        """What the lines of that program tell; what can't be read is passed over."""


#: By the name of the program. The first one that is on this machine is asked.
SOURCES: Dict[str, GpuSource] = {
    "nvidia-smi": nvidia_smi,
    "amd-smi": amd_smi,
    "rocm-smi": rocm_smi,
}


def current() -> Optional[GpuSource]:
    """The source of this machine; None where it has none, and so no GPU."""
    return next((source for source in SOURCES.values() if source.is_present()), None)


def gpus() -> List[Gpu]:
    """All GPUs of this machine; raises JobError where they can't be told."""
    source = current()
    return source.gpus() if source else []


def runtime_version() -> str:
    """The newest CUDA (or what the source has in its place) here; empty where nobody tells."""
    source = current()
    return source.runtime_version() if source else ""
