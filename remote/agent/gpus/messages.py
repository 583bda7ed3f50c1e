"""Why a job can't have a GPU, in words for its user."""

from __future__ import annotations

from typing import Dict, Sequence

from remote.agent.gpus.holders import Holder
from remote.agent.gpus.nvidia_smi import Gpu
from remote.agent.gpus.tickets import Waiting

#: How much memory of a GPU may be in use that counts as free, in MiB: a desktop, a driver's own.
IDLE_MEMORY = 1024


def wanted(wish: Waiting) -> str:
    """What a job asks for."""
    cards = "a GPU" if wish.gpus == 1 else f"{wish.gpus} GPUs"
    return f"{cards} with {gibibytes(wish.memory)} free" if wish.memory else cards


def missing(wish: Waiting, cards: Sequence[Gpu], busy: Dict[str, str]) -> str:
    """What the first in line waits for; `busy` has the reason for each card, empty where free."""
    free = sum(not reason for reason in busy.values())
    why = [f"GPU {gpu.index}: {busy[gpu.uuid]}" for gpu in cards if busy[gpu.uuid]]
    told = f" ({', '.join(why)})" if why else ""
    return f"waiting for {wanted(wish)}: {free} of {len(busy)} {_are(free)} free{told}"


def stock(cards: Sequence[Gpu]) -> str:
    if not cards:
        return "It has no GPU that nvidia-smi sees. A job that needs none: --gpus 0"
    named = [f"{gpu.name} ({gibibytes(gpu.memory_total)})" for gpu in cards]
    return "It has " + ", ".join(f"{named.count(name)} x {name}" for name in dict.fromkeys(named))


def holding(holder: Holder) -> str:
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
        first = gpu.processes[0]
        name = first.name or f"process {first.pid}"
        more = len(gpu.processes) - 1
        told = f"{first.user}'s {name}" if first.user else name
        return f"{told} and {more} more" if more else told
    return "" if gpu.memory_used <= IDLE_MEMORY else "its memory is taken"


def line(before: int) -> str:
    if before == 1:
        return "waiting: 1 job is before this one"
    return f"waiting: {before} jobs are before this one"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def gibibytes(memory: int) -> str:
    return f"{memory / 1024:.4g} GiB"
