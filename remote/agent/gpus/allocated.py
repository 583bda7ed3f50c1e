"""GPUs that a scheduler has given: the job's from its first moment to its last, and nobody's lease."""

from __future__ import annotations

import contextlib
import os
import re
from typing import Any, Callable, ContextManager, Dict, List, Optional, Sequence

from remote.agent.gpus import sources
from remote.agent.gpus.lease import Lease
from remote.errors import JobError
from remote.job.messages.gpus import Gpu
from remote.job.spec import Job
from remote.job.status import LeasedGpu


class AllocatedGpus:
    """The same as a JobLease, for a job whose scheduler has chosen: it joins no queue."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def join(self) -> None:
        """Nothing: the scheduler's queue is behind it."""

    def leave(self) -> None:
        """Nothing: the scheduler takes them back when the job ends."""

    def leased(self, say: Callable[[str], None]) -> ContextManager[Optional[Lease]]:
        """No lease."""
        return contextlib.nullcontext()

    def variables(self, lease: Optional[Lease]) -> Dict[str, str]:
        """Nothing: the scheduler has set them. A job that is to have no GPU sees none."""
        names = (row.VISIBLE_DEVICES for row in sources.SOURCES.values())
        return dict.fromkeys(names, "") if self.job.gpus == 0 else {}

    def record(self, lease: Optional[Lease]) -> Dict[str, Any]:
        """What the job's status tells of them, with their names where this node tells those."""
        given = visible()
        if not given or self.job.gpus == 0:
            return {}
        try:
            cards: List[Gpu] = sources.gpus()
        except JobError:
            cards = []
        gpus = tuple(_described(name, at, cards) for at, name in enumerate(given))
        driver = cards[0].driver if cards else ""
        return {"gpus": gpus, "driver": driver, "cuda": sources.runtime_version()}


def visible() -> List[str]:
    """The GPUs of this process, as the scheduler's variable names them: by index or UUID."""
    names = (row.VISIBLE_DEVICES for row in sources.SOURCES.values())
    values = (os.environ.get(name, "") for name in names)
    return next((value.split(",") for value in values if value), [])


def _described(name: str, at: int, cards: Sequence[Gpu]) -> LeasedGpu:
    """A GPU by its index or UUID; where only that is known, by no more."""
    for card in cards:
        if name in (str(card.index), card.uuid):
            return LeasedGpu(card.index, card.uuid, card.name)
    plain = re.sub(r"[^A-Za-z0-9]+", "-", f"{os.uname().nodename}-{name}")
    return LeasedGpu(int(name) if name.isdigit() else at, plain[:128], "")
