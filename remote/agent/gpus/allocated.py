"""GPUs that a scheduler has given: the job's from its first moment to its last, and nobody's lease."""

from __future__ import annotations

import contextlib
import os
import re
from typing import Callable, ContextManager, Dict, List, Optional, Sequence

from remote.agent.gpus import sources
from remote.agent.gpus.lease import Lease
from remote.agent.gpus.queue import JobLease
from remote.errors import JobError
from remote.job.messages.gpus import Gpu


class AllocatedGpus(JobLease):
    """Those of a job whose scheduler has chosen: it joins no queue, and locks nothing."""

    def join(self) -> None:
        """Nothing: the scheduler's queue is behind it."""

    def leased(self, say: Callable[[str], None]) -> ContextManager[Optional[Lease]]:
        """What the scheduler's variable names, for the record; None where it names none."""
        names = visible() if self.job.gpus != 0 else []
        if not names:
            return contextlib.nullcontext()
        try:
            cards = sources.gpus()
        except JobError:
            cards = []
        return Lease([_card(name, at, cards) for at, name in enumerate(names)], {}, [])

    def variables(self, lease: Optional[Lease]) -> Dict[str, str]:
        """Nothing: the scheduler has set them. A job that is to have no GPU sees none."""
        return super().variables(None) if self.job.gpus == 0 else {}


def visible() -> List[str]:
    """The GPUs of this process, as the scheduler's variable names them: by index or UUID."""
    names = (row.VISIBLE_DEVICES for row in sources.SOURCES.values())
    values = (os.environ.get(name, "") for name in names)
    return next((value.split(",") for value in values if value), [])


def _card(name: str, at: int, cards: Sequence[Gpu]) -> Gpu:
    """The GPU of that index or UUID; where this node tells no more, a description of only that."""
    for card in cards:
        if name in (str(card.index), card.uuid):
            return card
    plain = re.sub(r"[^A-Za-z0-9]+", "-", f"{os.uname().nodename}-{name}")
    index = int(name) if name.isdigit() else at
    return Gpu(index, plain[:128], name="", memory_total=None, memory_used=None, driver="")
