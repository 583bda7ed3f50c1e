"""CPU slots, of which a job without a GPU takes some, so that not all of them run at once.

The slots of a machine are leased as its GPUs are, over all users. How many there are is what a
target's settings say; each user's jobs take of the first ones. Jobs with a GPU take none: of those
there are no more than GPUs.
"""

from __future__ import annotations

import contextlib
import os
from typing import Callable, Iterator, Union

from remote.agent.gpus.lease import Lease, is_leased, lease
from remote.agent.gpus.line import QueuedLease, jobs_before
from remote.agent.gpus.tickets import Ticket
from remote.errors import JobError
from remote.job.kinds import kind_of
from remote.job.messages.gpus import Gpu, WaitingJob
from remote.job.spec import Job


class CpuSlots(QueuedLease):
    """Those of one job."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        #: Where nobody set a limit, only those wait for slots that ask for some.
        self.wanted = job.cpus or (1 if job.cpu_slots else 0)
        self.count = job.cpu_slots or os.cpu_count() or 1
        self.slots = [_slot(number) for number in range(self.count)]

    def join(self) -> None:
        """Join the queue, unless that was done; raises JobError where so many are never free."""
        # A service goes on until somebody ends it, and mostly waits for its user.
        if self.ticket is not None or not self.wanted or kind_of(self.job).serves:
            return
        if self.wanted > self.count:
            raise JobError(
                f"The job asks for {self._wanted()}, and this server has {self.count} for jobs without a GPU.",
                "Ask for fewer (--cpus), or raise the target's `cpus` in pyproject.toml.",
            )
        request = WaitingJob(
            job=self.job.id,
            user=self.job.user[:64],
            gpus=self.wanted,
            submitted=self.job.submitted,
        )
        self.ticket = Ticket(self.folder, request, kind="cpu")

    @contextlib.contextmanager
    def held(self, say: Callable[[str], None]) -> Iterator[None]:
        """Hold the slots while the body runs, once it is the job's turn."""
        with self.leased(say):
            yield

    def attempt(self, ticket: Ticket) -> Union[Lease, str]:
        """The lease, or why there is none yet; raises RefusedError."""
        before = ticket.before()
        if before:
            return jobs_before(before)
        free = [slot for slot in self.slots if not is_leased(self.folder, slot.uuid)]
        if len(free) < self.wanted:
            are = "is" if len(free) == 1 else "are"
            return f"waiting for {self._wanted()}: {len(free)} of {self.count} {are} free"
        return self.confirmed(ticket, lease(self.folder, free[: self.wanted]))

    def _wanted(self) -> str:
        return "a CPU slot" if self.wanted == 1 else f"{self.wanted} CPU slots"


def _slot(number: int) -> Gpu:
    """A slot as leases know cards; its name is no card's UUID."""
    return Gpu(number, f"cpu-{number}", "", memory_total=None, memory_used=None, driver="")
