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
    """The GPUs of one job, from joining the queue to the end of its lease; raises JobError."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._entry: Optional[QueueEntry] = None

    def join(self) -> None:
        """Join the queue, at the place of the job's submission, unless that was done."""
        count = 0 if self._entry else self._count()
        if count:
            request = WaitingJob(
                job=self.job.id,
                user=self.job.user[:64],
                gpus=count,
                memory=self.job.gpu_memory,
                submitted=self.job.submitted,
            )
            self._entry = QueueEntry(Path(self.job.leases or LEASES), request)

    def _count(self) -> int:
        """What was asked, else one where the machine has any. A job in the terminal leases none."""
        if self.job.interpreter:
            return 0
        if self.job.gpus is not None:
            return self.job.gpus
        try:
            return 1 if sources.gpus() else 0
        except JobError as error:
            raise JobError(
                error.message, f"{error.hint} A job that needs no GPU: --gpus 0".strip()
            ) from None

    def leave(self) -> None:
        """Give the place up."""
        if self._entry is not None:
            self._entry.close()

    def leased(self, say: Callable[[str], None]) -> ContextManager[Optional[Lease]]:
        """Hold the GPUs, once it is the job's turn; None where it is to have none."""
        self.join()
        return self._entry.wait(say) if self._entry else contextlib.nullcontext()

    def variables(self, lease: Optional[Lease]) -> Dict[str, str]:
        """What tells the job's code which GPUs it may see; nothing where there are none."""
        source = sources.current()
        if source is None or (lease is None and self.job.interpreter):
            return {}
        return {source.VISIBLE_DEVICES: lease.visible if lease else ""}


class QueueEntry:
    """A job in the queue for GPUs: `wait` leads to the lease, `close` gives up."""

    def __init__(self, folder: Path, request: WaitingJob) -> None:
        """Join the queue at the place of the submission.

        Raises JobError where this machine can never satisfy the request.
        """
        self.folder = folder
        self.request = request
        self.gpus = _suitable_machine(request)
        self._ticket = Ticket(folder, request)
        self._holders: Dict[str, GpuHolder] = {}

    def wait(self, say: Callable[[str], None]) -> Lease:
        """The lease, as soon as it is our turn. `say` hears each new reason to wait.

        Raises JobError where the GPUs keep being unreadable. However this ends, the ticket is gone.
        """
        with self:
            granted = self._wait(say)
        threading.Thread(target=granted.stay_fresh, daemon=True).start()
        return granted

    def close(self) -> None:
        """Leave the queue. A second time does nothing."""
        self._ticket.close()

    def __enter__(self) -> QueueEntry:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _wait(self, say: Callable[[str], None]) -> Lease:
        last_reason, touched = "", time.monotonic()
        failing_since: Optional[float] = None
        while True:
            began = time.monotonic()
            try:
                result = self._attempt()
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
                self._ticket.keep_fresh()
                touched = began
            # Where the source takes long, it is asked less often.
            time.sleep(max(POLL, time.monotonic() - began))

    def _attempt(self) -> Union[Lease, str]:
        """The lease, or why there is none yet."""
        before = self._ticket.before()
        if before:
            return messages.jobs_before(before)
        self._look()
        obstacles = {gpu.uuid: self._obstacle(gpu) for gpu in self.gpus}
        free = [gpu for gpu in self.gpus if not obstacles[gpu.uuid]]
        if len(free) < self.request.gpus:
            return messages.missing(self.request, self.gpus, obstacles)
        granted = lease(self.folder, _choose(free, self.request))
        if granted and not self._ticket.before():
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


def _suitable_machine(request: WaitingJob) -> List[Gpu]:
    """All GPUs of a machine that can satisfy the request some time; raises JobError for another."""
    gpus = sources.gpus()
    if sum(gpu.memory_total >= request.memory for gpu in gpus) >= request.gpus:
        return gpus
    raise JobError(
        f"The job asks for {messages.wanted(request)}, which this machine never has.",
        messages.equipment(gpus),
    )
