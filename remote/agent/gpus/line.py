"""One job's turn at something that a machine has few of: it joins a queue, waits, and holds a lease.

First come, first served, without a daemon: who waits has a ticket (see remote.agent.gpus.tickets),
and only the first may lease. The order is strict: a later job never overtakes an earlier one that
wants the same, even if it would fit, since a job for much would otherwise wait for ever while small
ones come and go.
"""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path
from typing import Callable, ContextManager, Optional, Union

from remote.agent.gpus.lease import FRESH, Lease
from remote.agent.gpus.tickets import Ticket
from remote.errors import JobError
from remote.job.paths import LEASES
from remote.job.spec import Job

#: Seconds between two looks of one who waits, and of one before whom there are so many that it can
#: hardly be next.
POLL, FAR_POLL, FAR = 0.3, 1.5, 8

#: How long the source of GPU facts may fail before a job that waits gives up, in seconds.
PATIENCE = 60.0


class QueuedLease:
    """What one job is to have, from joining the queue to the end of its lease."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.folder = Path(job.leases or LEASES)
        self.ticket: Optional[Ticket] = None

    def join(self) -> None:
        """Join the queue, at the place of the job's submission, unless that was done."""
        raise NotImplementedError

    def attempt(self, ticket: Ticket) -> Union[Lease, str]:
        """The lease, or why there is none yet."""
        raise NotImplementedError

    def leave(self) -> None:
        """Give the place up. A second time does nothing."""
        if self.ticket is not None:
            self.ticket.close()

    def leased(self, say: Callable[[str], None]) -> ContextManager[Optional[Lease]]:
        """Hold the lease, once it is the job's turn; None where it is to have none.

        `say` hears each new reason to wait. Raises JobError where `attempt` keeps doing so.
        However this ends, the job's place in the queue is gone.
        """
        self.join()
        if self.ticket is None:
            return contextlib.nullcontext()
        try:
            granted = self._wait(self.ticket, say)
        finally:
            self.leave()
        threading.Thread(target=granted.stay_fresh, daemon=True).start()
        return granted

    def confirmed(self, ticket: Ticket, granted: Optional[Lease]) -> Union[Lease, str]:
        """A lease that was just locked, or what one waits for where an earlier job came meanwhile, or
        locked a file before us."""
        if granted and not ticket.before():
            return granted
        if granted:
            granted.release()
        return jobs_before(1)

    def _wait(self, ticket: Ticket, say: Callable[[str], None]) -> Lease:
        last_reason, touched = "", time.monotonic()
        failing_since: Optional[float] = None
        while True:
            began = time.monotonic()
            try:
                result = self.attempt(ticket)
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
            pause = POLL if ticket.place < FAR else FAR_POLL
            # Where the source takes long, it is asked less often.
            time.sleep(max(pause, time.monotonic() - began))


def jobs_before(before: int) -> str:
    """What one waits for who isn't the first in the queue."""
    return f"waiting: {before} {'job is' if before == 1 else 'jobs are'} before this one"
