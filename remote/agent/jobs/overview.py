"""`inv remote-top`: the jobs of a target, the GPUs of its server, and who waits for them, at once."""

from __future__ import annotations

import threading
from typing import Any, Dict

from remote.agent.gpus import queue
from remote.agent.jobs import summaries
from remote.errors import JobError
from remote.job.messages.jobs import JobsRequest
from remote.job.messages.overview import OverviewAnswer, OverviewRequest


def describe(request: OverviewRequest) -> OverviewAnswer:
    """All of it; where the GPUs can't be told, the reason."""
    facts: Dict[str, Any] = {}

    def look() -> None:
        try:
            facts["gpus"] = queue.look(request.leases)
        except JobError as error:
            facts["gpu_fault"] = error.message
        except BaseException as bug:
            facts["bug"] = bug

    # The program that tells of the cards takes longer than all else.
    looking = threading.Thread(target=look)
    looking.start()
    listed = JobsRequest(key=request.key, newest=request.newest)
    jobs = summaries.describe(listed, points=request.points)
    looking.join()
    if "bug" in facts:
        raise facts["bug"]
    return OverviewAnswer(jobs=jobs, **facts)
