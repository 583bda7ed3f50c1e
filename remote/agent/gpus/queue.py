"""The right of one job to GPUs, leased by file locks (see remote.agent.gpus.lease) in the order of
remote.agent.gpus.line.

Strangers, who know nothing of leases, are passed over: a GPU on which any process computes, or
whose memory is taken (all that shows of a stranger in a container), isn't free. A job that says how
much memory it needs may share a card with a stranger who leaves that much, never with another job;
jobs for a part of a card share one with others of the same user (see remote.agent.gpus.shares).
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Callable, ContextManager, Dict, List, Optional, Union

from remote.agent.gpus import lock_files, shares, sources
from remote.agent.gpus.cpu_slots import CpuSlots
from remote.agent.gpus.fitness import IDLE_MEMORY, equipment, gibibytes, obstacle, suits
from remote.agent.gpus.lease import Lease, all_holders, holders, is_leased, lease, lease_file
from remote.agent.gpus.line import QueuedLease, jobs_before
from remote.agent.gpus.tickets import Ticket, waiting
from remote.agent.processes import user_name
from remote.errors import JobError
from remote.job.messages.gpus import Gpu, GpuHolder, GpusAnswer, GpusRequest, WaitingJob
from remote.job.paths import LEASES
from remote.job.spec import Job
from remote.job.status import LeasedGpu

#: What tells JAX how much of a card it may take: docs.jax.dev, "GPU memory allocation".
JAX_MEMORY = "XLA_PYTHON_CLIENT_MEM_FRACTION"


def describe(request: GpusRequest) -> GpusAnswer:
    """Every GPU with the job that leases it, if one does, and the line of those that wait; where Slurm
    runs the jobs, those of its nodes."""
    answer = look(request)
    return answer if _is_slurms(request) else answer.replace(cuda=sources.runtime_version())


def _is_slurms(request: GpusRequest) -> bool:
    # Workers, which look at the line all the time, start faster without.
    from remote.agent import launchers

    return (request.launcher or launchers.usual()) == "slurm"


def look(request: GpusRequest) -> GpusAnswer:
    """All but the newest CUDA, to learn which the cards' program is started once more."""
    if _is_slurms(request):
        from remote.agent.launchers import nodes

        gpus, line = nodes.gpus(request.sbatch), nodes.waiting(request.sbatch)
        return GpusAnswer(gpus=tuple(gpus), waiting=tuple(line), now=time.time())
    folder = Path(request.leases or LEASES)
    if not folder.is_dir():
        raise JobError(
            f"There is no folder {folder} on this server, for leases (REMOTE_LEASES).",
            "All users must be able to create files in it: mkdir -m 1777 DIR",
        )
    held = all_holders(folder)
    return GpusAnswer(
        gpus=tuple(_with_holders(folder, gpu, held.get(gpu.uuid)) for gpu in sources.gpus()),
        waiting=tuple(waiting(folder)),
        now=time.time(),
    )


def _with_holders(folder: Path, gpu: Gpu, held: Optional[List[GpuHolder]]) -> Gpu:
    sharers = tuple(each for each in held or () if each.share < 1)
    return gpu.replace(holder=held[0] if held else _keeper(folder, gpu.uuid), sharers=sharers)


def _keeper(folder: Path, uuid: str) -> Optional[GpuHolder]:
    """Who keeps a GPU from all jobs without the lock on its file, if anybody does: by the name that
    the kernel gives, or by what lies in the file's place."""
    try:
        return GpuHolder() if is_leased(folder, uuid) else None
    except lock_files.RefusedError:
        return GpuHolder(user=user_name(lease_file(folder, uuid).lstat().st_uid))


class JobLease(QueuedLease):
    """The GPUs of one job; where it has none, the CPU slots that it takes for that."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.slots = CpuSlots(job)
        self.request = WaitingJob(
            job=job.id,
            user=job.user[:64],
            gpus=1 if job.gpus is None else job.gpus,
            memory=job.gpu_memory,
            share=job.gpu_share,
            submitted=job.submitted,
        )
        self.gpus: List[Gpu] = []
        self._holders: Dict[str, GpuHolder] = {}

    def join(self) -> None:
        """Join the queue, at the place of the job's submission, unless that was done.

        A job that says nothing of GPUs has one where the machine has any. Raises JobError where
        this machine can never give what is asked.
        """
        # A job in the terminal leases none.
        if self.ticket is None and not self.job.interpreter:
            self._join_for_gpus()
            if self.ticket is None:
                self.slots.join()

    def leave(self) -> None:
        """Give the place up. A second time does nothing."""
        super().leave()
        self.slots.leave()

    def leased(self, say: Callable[[str], None]) -> ContextManager[Optional[Lease]]:
        """Hold the GPUs, once it is the job's turn; None where it is to have none. Raises JobError
        where they keep being unreadable."""
        self.join()
        if self.ticket is None and not self.job.interpreter:
            return self.slots.held(say)
        return super().leased(say)

    def _join_for_gpus(self) -> None:
        if self.job.gpus == 0:
            return
        try:
            self.gpus = sources.gpus()
        except JobError as error:
            hint = f"{error.hint} A job that needs no GPU: --gpus 0".strip()
            raise JobError(error.message, hint) from None
        machine, self.gpus = self.gpus, list(filter(self._suits, self.gpus))
        if self.job.gpus is None and not self.gpus:
            return
        if len(self.gpus) < self.request.gpus:
            excluded = ", ".join(self.job.gpu_exclude)
            raise JobError(
                f"The job asks for {self._wanted()}, which this server does not have.",
                equipment(machine) + (f"; excluded: {excluded}" if excluded else ""),
            )
        if len(self.gpus) < len(machine):
            self.request = self.request.replace(cards=tuple(gpu.uuid for gpu in self.gpus))
        self.ticket = Ticket(self.folder, self.request)

    def _suits(self, gpu: Gpu) -> bool:
        return suits(self.job, gpu)

    def variables(self, lease: Optional[Lease]) -> Dict[str, str]:
        """What tells the job's code which GPUs it may see; nothing where there are none.

        A job that is to have none sees none, whoever's cards this machine may have.
        """
        if lease is None and self.job.interpreter:
            return {}
        if self.job.gpus == 0:
            return dict.fromkeys((row.VISIBLE_DEVICES for row in sources.SOURCES.values()), "")
        source = sources.current()
        variables = {source.VISIBLE_DEVICES: lease.visible if lease else ""} if source else {}
        if lease is not None and self.request.share < 1:
            # JAX takes three quarters of a card at its start; what is asked of the job says more.
            amount = self.job.env.get(JAX_MEMORY, f"{0.9 * self.request.share:.3f}")
            variables[JAX_MEMORY] = amount
        return variables

    def record(self, lease: Lease) -> Dict[str, Any]:
        """What the job's status tells of its GPUs."""
        gpus = tuple(LeasedGpu(gpu.index, gpu.uuid, gpu.name) for gpu in lease.gpus)
        return {"gpus": gpus, "driver": lease.gpus[0].driver, "cuda": sources.runtime_version()}

    def attempt(self, ticket: Ticket) -> Union[Lease, str]:
        """The lease, or why there is none yet."""
        before = ticket.before()
        if before:
            return jobs_before(before)
        current = holders(self.folder)
        unleased = sum(gpu.uuid not in current for gpu in self.gpus)
        # The source is asked only where what it says can matter.
        if unleased >= self.request.gpus or current != self._holders or self.request.share < 1:
            self.gpus = list(filter(self._suits, sources.gpus()))
        self._holders = current
        obstacles = {gpu.uuid: self._obstacle(gpu) for gpu in self.gpus}
        free = [gpu for gpu in self.gpus if not obstacles[gpu.uuid]]
        if len(free) < self.request.gpus:
            return self._missing(obstacles)
        if self.request.memory:
            # The largest is left free for others.
            free.sort(key=lambda gpu: (gpu.memory_free is None, gpu.memory_free or 0, gpu.index))
        return self.confirmed(ticket, self._lease(free))

    def _lease(self, free: List[Gpu]) -> Optional[Lease]:
        """Lock those of the free cards that are chosen; None where another job was faster."""
        if self.request.share == 1:
            chosen = sorted(free[: self.request.gpus], key=lambda gpu: gpu.index)
            return lease(self.folder, chosen)
        # One that is shared already comes first, so that others stay whole.
        free.sort(key=lambda gpu: gpu.uuid not in self._holders)
        return shares.share(self.folder, free[0], self.request.share)

    def _obstacle(self, gpu: Gpu) -> str:
        """Why we can't have this GPU now; empty where we can."""
        holder = self._holders.get(gpu.uuid)
        try:
            # It may be leased since we looked, or its holder's file deleted; by whom doesn't matter.
            if holder is None and is_leased(self.folder, gpu.uuid):
                holder = GpuHolder()
        except lock_files.RefusedError as error:
            return error.message.rstrip(".")
        if holder is None:
            return obstacle(gpu, self.request.memory)
        if self.request.share < 1 and _is_shared_by_us(holder):
            return self._shortage(gpu)
        if holder.job:
            return f"job {holder.job}"
        return f"a job of {holder.user}, process {holder.pid}" if holder.user else "another job"

    def _shortage(self, gpu: Gpu) -> str:
        """What a card lacks that other jobs of ours share."""
        if not shares.is_left(self.folder, gpu.uuid, self.request.share):
            return "too little of it left"
        # What others on it take beyond their parts, they take from ours.
        needed = self.request.share * (gpu.memory_total or 0) - IDLE_MEMORY
        return (
            "" if gpu.memory_free is None or gpu.memory_free >= needed else "too little memory free"
        )

    def _missing(self, obstacles: Dict[str, str]) -> str:
        """What the first in the queue waits for; `obstacles` by UUID, empty where one is free."""
        free = sum(not obstacle for obstacle in obstacles.values())
        reasons = [
            f"GPU {gpu.index}: {obstacles[gpu.uuid]}" for gpu in self.gpus if obstacles[gpu.uuid]
        ]
        detail = f" ({', '.join(reasons)})" if reasons else ""
        are = "is" if free == 1 else "are"
        return f"waiting for {self._wanted()}: {free} of {len(obstacles)} {are} free{detail}"

    def _wanted(self) -> str:
        """What the job asks for."""
        count, memory = self.request.gpus, self.request.memory
        gpus = "a GPU" if count == 1 else f"{count} GPUs"
        if self.request.share < 1:
            gpus = f"{self.request.share:g} of a GPU"
        named = f" named {self.job.gpu_model}" if self.job.gpu_model else ""
        return gpus + named + (f" with {gibibytes(memory)} free" if memory else "")


def _is_shared_by_us(holder: GpuHolder) -> bool:
    return holder.share < 1 and holder.user == user_name(os.geteuid())
