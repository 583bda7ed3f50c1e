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

import time
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence, Union

from remote.agent.gpus import lock_files, messages, sources
from remote.agent.gpus.lease import FRESH, Lease, holders, lease, lease_file
from remote.agent.gpus.tickets import Ticket
from remote.errors import JobError
from remote.job.messages.gpus import Gpu, GpuHolder, WaitingJob

#: Seconds between two looks of one who waits.
POLL = 0.3

#: How long the source of GPU facts may fail before a job that waits gives up, in seconds.
PATIENCE = 60.0


class QueueEntry:
    """A job in the queue for GPUs: `wait` leads to the lease, `close` gives up."""

    def __init__(self, folder: Path, request: WaitingJob) -> None:
        """Join the queue at the place of the submission.

        Raises JobError where this machine can never satisfy the request.
        """
        self.folder = folder
        self.request = request
        self.gpus = _suitable_machine(request)
        self._ticket: Optional[Ticket] = Ticket(folder, request)
        self._holders: Dict[str, GpuHolder] = {}

    def wait(self, say: Callable[[str], None]) -> Lease:
        """The lease, as soon as it is our turn. `say` hears each new reason to wait.

        Raises JobError where the GPUs keep being unreadable. However this ends, the ticket is gone.
        """
        if self._ticket is None:
            raise ValueError("this place in the queue was given up")
        try:
            granted = self._wait(self._ticket, say)
        finally:
            self.close()
        granted.watch_over()
        return granted

    def close(self) -> None:
        """Leave the queue. A second time does nothing."""
        ticket, self._ticket = self._ticket, None
        if ticket is not None:
            ticket.close()

    def __enter__(self) -> QueueEntry:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _wait(self, ticket: Ticket, say: Callable[[str], None]) -> Lease:
        retry = _Retry()
        last_reason, touched = "", time.monotonic()
        while True:
            began = time.monotonic()
            result = retry.attempt(lambda: self._attempt(ticket))
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
        if ticket.before():
            return messages.jobs_before(ticket.before())
        self._look()
        obstacles = {gpu.uuid: self._obstacle(gpu) for gpu in self.gpus}
        free = [gpu for gpu in self.gpus if not obstacles[gpu.uuid]]
        if len(free) < self.request.gpus:
            return messages.missing(self.request, self.gpus, obstacles)
        granted = lease(self.folder, choose(free, self.request))
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
        path = lease_file(self.folder, gpu.uuid)
        try:
            holder = self._holders.get(gpu.uuid)
            # /proc/locks may hide whose the lock is, the lock itself does not lie.
            if holder is None and lock_files.is_held(path):
                holder = GpuHolder()
        except FileNotFoundError:
            holder = None
        except lock_files.RefusedError as error:
            return error.message.rstrip(".")
        return messages.holder_of(holder) if holder else messages.stranger(gpu, self.request.memory)


def choose(free: Sequence[Gpu], request: WaitingJob) -> List[Gpu]:
    """Which of the free GPUs: the first, or those that leave the largest free for others."""
    if request.memory:
        free = sorted(free, key=lambda gpu: (gpu.memory_free, gpu.index))
    return sorted(free[: request.gpus], key=lambda gpu: gpu.index)


class _Retry:
    """Tries again for a while where the GPUs can't be read: a driver can be busy for a moment."""

    def __init__(self) -> None:
        self._failing_since: Optional[float] = None

    def attempt(self, question: Callable[[], Union[Lease, str]]) -> Union[Lease, str]:
        try:
            answer = question()
        except JobError as error:
            now = time.monotonic()
            self._failing_since = self._failing_since or now
            if now - self._failing_since > PATIENCE:
                raise
            return f"waiting: {error.message}"
        self._failing_since = None
        return answer


def _suitable_machine(request: WaitingJob) -> List[Gpu]:
    """All GPUs of a machine that can satisfy the request some time; raises JobError for another."""
    gpus = sources.gpus()
    large = [gpu for gpu in gpus if gpu.memory_total >= request.memory]
    if len(large) >= request.gpus:
        return gpus
    raise JobError(
        f"The job asks for {messages.wanted(request)}, which this machine never has.",
        messages.equipment(gpus),
    )
