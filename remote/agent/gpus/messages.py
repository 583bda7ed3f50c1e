"""Why a job can't have a GPU, in words for its user."""

from __future__ import annotations

from typing import Dict, Sequence

from remote.job.messages.gpus import Gpu, GpuHolder, WaitingJob

#: How much memory of a GPU may be in use that counts as free, in MiB: a desktop, a driver's own.
IDLE_MEMORY = 1024


def wanted(request: WaitingJob) -> str:
    """What a job asks for."""
    count = "a GPU" if request.gpus == 1 else f"{request.gpus} GPUs"
    return f"{count} with {_gibibytes(request.memory)} free" if request.memory else count


def missing(request: WaitingJob, gpus: Sequence[Gpu], obstacles: Dict[str, str]) -> str:
    """What the first in the queue waits for; `obstacles` by UUID, empty where one is free."""
    free = sum(not obstacle for obstacle in obstacles.values())
    reasons = [f"GPU {gpu.index}: {obstacles[gpu.uuid]}" for gpu in gpus if obstacles[gpu.uuid]]
    detail = f" ({', '.join(reasons)})" if reasons else ""
    are = "is" if free == 1 else "are"
    return f"waiting for {wanted(request)}: {free} of {len(obstacles)} {are} free{detail}"


def equipment(gpus: Sequence[Gpu]) -> str:
    """The GPUs that a machine has, like ones counted together."""
    if not gpus:
        return "It has no GPU that nvidia-smi sees. A job that needs none: --gpus 0"
    models = [f"{gpu.name} ({_gibibytes(gpu.memory_total)})" for gpu in gpus]
    return "It has " + ", ".join(f"{models.count(each)} x {each}" for each in dict.fromkeys(models))


def holder_of(holder: GpuHolder) -> str:
    """Who has a GPU."""
    if holder.job:
        return f"job {holder.job}"
    return f"a job of {holder.user}, process {holder.pid}" if holder.user else "another job"


def stranger(gpu: Gpu, memory: int) -> str:
    """What keeps a GPU from being leased besides leases."""
    if gpu.fault:
        return gpu.fault
    if memory:
        return "" if gpu.memory_free >= memory else "too little memory free"
    if gpu.processes:
        first, *more = gpu.processes
        name = first.name or f"process {first.pid}"
        owner = f"{first.user}'s {name}" if first.user else name
        return f"{owner} and {len(more)} more" if more else owner
    return "" if gpu.memory_used <= IDLE_MEMORY else "its memory is taken"


def jobs_before(before: int) -> str:
    """What one waits for who isn't the first in the queue."""
    return f"waiting: {before} {'job is' if before == 1 else 'jobs are'} before this one"


def _gibibytes(memory: int) -> str:
    """MiB as GiB."""
    return f"{memory / 1024:.4g} GiB"
