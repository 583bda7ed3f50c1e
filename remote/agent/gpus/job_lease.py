"""The GPUs of one job: from joining the queue to the end of its lease."""

from __future__ import annotations

import contextlib
import functools
from pathlib import Path
from typing import Callable, Iterator, Optional

from remote.agent.gpus import sources
from remote.agent.gpus.lease import Lease
from remote.agent.gpus.queue import QueueEntry
from remote.errors import JobError
from remote.job.messages.gpus import WaitingJob
from remote.job.paths import LEASES
from remote.job.spec import Job


class JobLease:
    """What one job has of the queue. `count` is how many GPUs it asks for; raises JobError."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._entry: Optional[QueueEntry] = None

    @functools.cached_property
    def count(self) -> int:
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

    def join(self) -> None:
        """Join the queue, at the place of the job's submission, unless that was done."""
        if self._entry is not None or not self.count:
            return
        request = WaitingJob(
            job=self.job.id,
            user=self.job.user[:64],
            gpus=self.count,
            memory=self.job.gpu_memory,
            submitted=self.job.submitted,
        )
        self._entry = QueueEntry(Path(self.job.leases or LEASES), request)

    def leave(self) -> None:
        """Give the place up."""
        if self._entry is not None:
            self._entry.close()

    @contextlib.contextmanager
    def leased(self, say: Callable[[str], None]) -> Iterator[Optional[Lease]]:
        """Hold the GPUs, once it is the job's turn; None where it is to have none."""
        self.join()
        if self._entry is None:
            yield None
            return
        with self._entry.wait(say) as lease:
            yield lease

    def variables(self, lease: Optional[Lease]) -> dict[str, str]:
        """What tells the job's code which GPUs it may see; nothing where there are none."""
        source = sources.current()
        if source is None or (lease is None and self.job.interpreter):
            return {}
        return {source.VISIBLE_DEVICES: lease.visible if lease else ""}
