"""Which cards would do for a job, and what keeps one from being leased, beside leases. Pure."""

from __future__ import annotations

from typing import Optional, Sequence

from remote.job.messages.gpus import Gpu
from remote.job.spec import JobSpec

#: How much memory of a GPU may be in use that counts as free, in MiB: a desktop, a driver's own.
IDLE_MEMORY = 1024


def suits(job: JobSpec, gpu: Gpu) -> bool:
    """Whether a card will do, once it is free. One that doesn't tell its memory may have enough."""
    if {gpu.uuid, str(gpu.index)} & set(job.gpu_exclude):
        return False
    is_large = gpu.memory_total is None or gpu.memory_total >= job.gpu_memory
    return is_large and job.gpu_model.casefold() in gpu.name.casefold()


def obstacle(gpu: Gpu, memory: int) -> str:
    """What keeps a card that nobody leases from being leased; empty where nothing does."""
    if gpu.fault:
        return gpu.fault
    if memory and gpu.memory_free is not None:
        return "" if gpu.memory_free >= memory else "too little memory free"
    if gpu.processes:
        first, *more = gpu.processes
        name = first.name or f"process {first.pid}"
        owner = f"{first.user}'s {name}" if first.user else name
        return f"{owner} and {len(more)} more" if more else owner
    return "" if (gpu.memory_used or 0) <= IDLE_MEMORY else "its memory is in use"


def equipment(gpus: Sequence[Gpu]) -> str:
    """The GPUs that a machine has, like ones counted together."""
    if not gpus:
        return "It has no GPU that nvidia-smi, amd-smi or rocm-smi finds. A job that needs none: --gpus 0"
    models = [f"{gpu.name} ({gibibytes(gpu.memory_total)})" for gpu in gpus]
    return "It has " + ", ".join(f"{models.count(each)} x {each}" for each in dict.fromkeys(models))


def gibibytes(memory: Optional[int]) -> str:
    """MiB as GiB."""
    return "? GiB" if memory is None else f"{memory / 1024:.4g} GiB"
