"""The states of a job."""

from __future__ import annotations

QUEUED = "queued"
PREPARING = "preparing"
RUNNING = "running"
FINISHED = "finished"
FAILED = "failed"
STOPPED = "stopped"
LOST = "lost"

ENDED = frozenset({FINISHED, FAILED, STOPPED, LOST})

#: Why a job ended that could not even begin (`reason` in its status).
REFUSED = "refused"

#: How a job's end is told to MLflow.
RUN_STATUS = {FINISHED: "FINISHED", FAILED: "FAILED", STOPPED: "KILLED", LOST: "FAILED"}
