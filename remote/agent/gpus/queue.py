"""The right of one job to GPUs: leased by file locks, first come first served, without a daemon.

A GPU is leased by the lock on its file (see remote.agent.gpus.lease). Who waits has a ticket (see
remote.agent.gpus.tickets), and only the first may lease. The order is strict: a later job never
overtakes an earlier one, even if it would fit, since a job for many GPUs would otherwise wait for
ever while small ones come and go.

Strangers, who know nothing of leases, are passed over: a GPU on which any process computes, or
whose memory is taken (all that shows of a stranger in a container), isn't free. A job that says how
much memory it needs may share a card with a stranger who leaves that much, never with another job.
"""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path
from typing import Callable, ContextManager, Dict, List, Optional, Sequence, Union

from remote.agent.gpus import lock_files, messages, sources
from remote.agent.gpus.lease import FRESH, Lease, holders, lease, lease_file
from remote.agent.gpus.tickets import Ticket, waiting
from remote.errors import JobError
from remote.job.messages.gpus import (
    Gpu,
    GpuHolder,
    GpuReport,
    GpusAnswer,
    GpusRequest,
    WaitingJob,
)
from remote.job.paths import LEASES
from remote.job.spec import Job

#: Seconds between two looks of one who waits.
POLL = 0.3

#: How long the source of GPU facts may fail before a job that waits gives up, in seconds.
PATIENCE = 60.0


def describe(request: GpusRequest) -> GpusAnswer:
    """Every GPU with the job that leases it, if one does, and the line of those that wait."""
    folder = Path(request.leases or LEASES)
    held = holders(folder)
    return GpusAnswer(
        gpus=tuple(GpuReport(**vars(gpu), holder=held.get(gpu.uuid)) for gpu in sources.gpus()),
        waiting=tuple(waiting(folder)),
        now=time.time(),
        cuda=sources.runtime_version(),
    )


class JobLease:
    """The GPUs of one job, from joining the queue to the end of its lease."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.folder = Path(job.leases or LEASES)
        self.request = WaitingJob(
            job=job.id,
            user=job.user[:64],
            gpus=1 if job.gpus is None else job.gpus,
            memory=job.gpu_memory,
            submitted=job.submitted,
        )
        self.gpus: List[Gpu] = []
        self._ticket: Optional[Ticket] = None
        self._holders: Dict[str, GpuHolder] = {}

    def join(self) -> None:
        """Join the queue, at the place of the job's submission, unless that was done.

        A job that says nothing of GPUs has one where the machine has any. Raises JobError where
        this machine can never give what is asked.
        """
        # A job in the terminal leases none.
        if self._ticket is not None or self.job.interpreter or self.job.gpus == 0:
            return
        try:
            self.gpus = sources.gpus()
        except JobError as error:
            hint = f"{error.hint} A job that needs no GPU: --gpus 0".strip()
            raise JobError(error.message, hint) from None
        if self.job.gpus is None and not self.gpus:
            return
        if sum(gpu.memory_total >= self.request.memory for gpu in self.gpus) < self.request.gpus:
            raise JobError(
                f"The job asks for {messages.wanted(self.request)}, which this machine never has.",
                messages.equipment(self.gpus),
            )
        self._ticket = Ticket(self.folder, self.request)

    def leave(self) -> None:
        """Give the place up. A second time does nothing."""
        if self._ticket is not None:
            self._ticket.close()

    def leased(self, say: Callable[[str], None]) -> ContextManager[Optional[Lease]]:
        """Hold the GPUs, once it is the job's turn; None where it is to have none.

        `say` hears each new reason to wait. Raises JobError where the GPUs keep being unreadable.
        However this ends, the job's place in the queue is gone.
        """
        self.join()
        if self._ticket is None:
            return contextlib.nullcontext()
        try:
            granted = self._wait(self._ticket, say)
        finally:
            self.leave()
        threading.Thread(target=granted.stay_fresh, daemon=True).start()
        return granted

    def variables(self, lease: Optional[Lease]) -> Dict[str, str]:
        """What tells the job's code which GPUs it may see; nothing where there are none."""
        source = sources.current()
        if source is None or (lease is None and self.job.interpreter):
            return {}
        return {source.VISIBLE_DEVICES: lease.visible if lease else ""}

    def _wait(self, ticket: Ticket, say: Callable[[str], None]) -> Lease:
        last_reason, touched = "", time.monotonic()
        failing_since: Optional[float] = None
        while True:
            began = time.monotonic()
            try:
                result = self._attempt(ticket)
                failing_since = None
            except JobError as error:
                # A driver can be busy for a moment.
                failing_since = failing_since or time.monotonic()
                if time.monotonic() - failing_since > PATIENCE:
                    raise
                result = f"waiting: {error.message}"
            if isinstance(result, Lease):
                return result
            if result != last_reason:
                say(result)
                last_reason = result
            if began - touched > FRESH:
                ticket.keep_fresh()
                touched = began
            # Where the source takes long, it is asked less often.
            time.sleep(max(POLL, time.monotonic() - began))

    def _attempt(self, ticket: Ticket) -> Union[Lease, str]:
        """The lease, or why there is none yet."""
        before = ticket.before()
        if before:
            return messages.jobs_before(before)
        self._look()
        obstacles = {gpu.uuid: self._obstacle(gpu) for gpu in self.gpus}
        free = [gpu for gpu in self.gpus if not obstacles[gpu.uuid]]
        if len(free) < self.request.gpus:
            return messages.missing(self.request, self.gpus, obstacles)
        granted = lease(self.folder, _choose(free, self.request))
        if granted and not ticket.before():
            return granted
        # An earlier job came while we chose, or locked a file before us.
        if granted:
            granted.release()
        return messages.jobs_before(1)

    def _look(self) -> None:
        """See who holds what; the source is asked only where what it says can matter."""
        current = holders(self.folder)
        unleased = sum(gpu.uuid not in current for gpu in self.gpus)
        if unleased >= self.request.gpus or current != self._holders:
            self.gpus = sources.gpus()
        self._holders = current

    def _obstacle(self, gpu: Gpu) -> str:
        """Why we can't have this GPU now; empty where we can."""
        holder = self._holders.get(gpu.uuid)
        try:
            # It may be leased since we looked, by whom doesn't matter.
            if holder is None and lock_files.is_held(lease_file(self.folder, gpu.uuid)):
                holder = GpuHolder()
        except lock_files.RefusedError as error:
            return error.message.rstrip(".")
        return messages.holder_of(holder) if holder else messages.stranger(gpu, self.request.memory)


def _choose(free: Sequence[Gpu], request: WaitingJob) -> List[Gpu]:
    """Which of the free GPUs: the first, or those that leave the largest free for others."""
    if request.memory:
        free = sorted(free, key=lambda gpu: (gpu.memory_free, gpu.index))
    return sorted(free[: request.gpus], key=lambda gpu: gpu.index)
