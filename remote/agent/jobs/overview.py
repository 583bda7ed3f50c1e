"""`inv remote-top`: the jobs of a target, the GPUs of its server, and who waits for them, at once."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path
from typing import Any, Dict, Tuple

from remote.agent.gpus import queue
from remote.agent.jobs import summaries
from remote.agent.target_dir import root_of
from remote.errors import JobError, StoreError
from remote.job.messages.jobs import JobsRequest, JobSummary
from remote.job.messages.overview import OverviewAnswer, OverviewRequest
from remote.job.paths import JobPaths

#: The last values of a metric, by an index of MLflow's. Those without steps have the order in which
#: they were written.
CURVE = (
    "SELECT value FROM metrics WHERE run_uuid = ? AND key = ? AND is_nan = 0"
    " ORDER BY step DESC, rowid DESC LIMIT ?"
)


def describe(request: OverviewRequest) -> OverviewAnswer:
    """All of it; where the GPUs can't be told, the reason."""
    facts: Dict[str, Any] = {}

    def look() -> None:
        try:
            facts["gpus"] = queue.look(request.gpus)
        except JobError as error:
            facts["gpu_fault"] = error.message
        except BaseException as bug:
            facts["bug"] = bug

    # The program that tells of the cards takes longer than all else.
    looking = threading.Thread(target=look)
    looking.start()
    listed = JobsRequest(key=request.key, newest=request.newest)
    jobs = summaries.describe(listed)
    curves = {
        job.id: _curve(root_of(request.key), job, request.points)
        for job in jobs.jobs
        if job.metrics
    }
    looking.join()
    if "bug" in facts:
        raise facts["bug"]
    return OverviewAnswer(jobs=jobs, curves=curves, **facts)


def _curve(root: Path, job: JobSummary, points: int) -> Tuple[float, ...]:
    """The last values of its newest metric; none where the store can't be read any more."""
    import sqlite3

    from remote.agent.tracking.job_run import store_of_job
    from remote.tracking.store import connect_read_only

    try:
        store = store_of_job(JobPaths(root, job.id))
        with closing(connect_read_only(store, summaries.PATIENCE)) as database:
            key = (job.mlflow_run, job.metrics[0].key, points)
            return tuple(value for (value,) in database.execute(CURVE, key))[::-1]
    except (StoreError, sqlite3.Error):
        return ()
