"""Where the facts about this machine's GPUs come from: a row for each program that tells them."""

from __future__ import annotations

from typing import Dict, List, Optional

from remote.agent.gpus.sources import nvidia_smi
from remote.agent.gpus.sources.base import GpuSource
from remote.job.messages.gpus import Gpu

#: By the name of the program. The first one that is on this machine is asked.
SOURCES: Dict[str, GpuSource] = {"nvidia-smi": nvidia_smi}


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
