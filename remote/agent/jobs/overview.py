"""`inv remote-top`: the jobs of a target, the GPUs of its server, and who waits for them, at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from remote.agent.gpus import queue
from remote.agent.jobs import summaries
from remote.errors import JobError
from remote.job.messages.jobs import JobsRequest
from remote.job.messages.overview import OverviewAnswer, OverviewRequest


def describe(request: OverviewRequest) -> OverviewAnswer:
    """All of it; where the GPUs can't be told, the reason."""
    listed = JobsRequest(key=request.key, newest=request.newest)
    # The program that tells of the cards takes longer than all else.
    with ThreadPoolExecutor(1) as executor:
        gpus = executor.submit(queue.look, request.leases)
        jobs = summaries.describe(listed, points=request.points)
        try:
            return OverviewAnswer(jobs=jobs, gpus=gpus.result())
        except JobError as error:
            return OverviewAnswer(jobs=jobs, gpu_fault=error.message)
