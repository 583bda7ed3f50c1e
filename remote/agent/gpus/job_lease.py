"""A job's place in the line for GPUs, from joining it to the end of its lease."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Iterator, Mapping, Optional

from remote.errors import JobError
from remote.job.paths import LEASES

# A submission waits for the worker's first word: what isn't needed for that is imported later.
if TYPE_CHECKING:
    from remote.agent.gpus.queue import Lease, Ticket


class Line:
    """What one job wants of the line. `count` is how many GPUs; raises JobError."""

    def __init__(self, job: Mapping[str, Any]) -> None:
        self.job = job
        self._count: Optional[int] = None
        self._ticket: Optional[Ticket] = None

    @property
    def count(self) -> int:
        """What was asked, else one where the machine has any. A job in the terminal leases none."""
        if self._count is None:
            self._count = self._asked()
        return self._count

    def _asked(self) -> int:
        if self.job.get("interpreter"):
            return 0
        if self.job.get("gpus") is not None:
            return int(self.job["gpus"])
        if not has_gpus():
            return 0
        from remote.agent.gpus.nvidia_smi import read

        try:
            return 1 if read() else 0
        except JobError as error:
            raise JobError(
                error.message, f"{error.hint} A job that needs no GPU: --gpus 0".strip()
            ) from None

    def join(self) -> None:
        """Join the line, at the place of the job's submission, unless that was done."""
        if self._ticket is not None or not self.count:
            return
        from remote.agent.gpus.queue import Ticket

        self._ticket = Ticket.take(
            Path(self.job.get("leases") or LEASES),
            job=self.job["id"],
            submitted=self.job["submitted"],
            gpus=self.count,
            memory=self.job.get("gpu_memory", 0),
            user=self.job.get("user", ""),
        )

    def leave(self) -> None:
        """Give the place up."""
        if self._ticket is not None:
            self._ticket.close()

    @contextlib.contextmanager
    def leased(self, say: Callable[[str], None]) -> Iterator[Optional[Lease]]:
        """Hold the GPUs, once it is the job's turn; None where it is to have none."""
        self.join()
        if self._ticket is None:
            yield None
            return
        lease = self._ticket.wait(say)
        try:
            yield lease
        finally:
            lease.release()

    def variables(self, lease: Optional[Lease]) -> dict[str, str]:
        """What tells CUDA which GPUs it may see; nothing where there are none to be seen."""
        if lease is not None:
            return {"CUDA_VISIBLE_DEVICES": lease.visible}
        hidden = has_gpus() and not self.job.get("interpreter")
        return {"CUDA_VISIBLE_DEVICES": ""} if hidden else {}


def has_gpus() -> bool:
    """Whether this machine can have NVIDIA GPUs at all."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return any(os.access(os.path.join(folder, "nvidia-smi"), os.X_OK) for folder in folders)
