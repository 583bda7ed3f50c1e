"""The states of a job."""

from __future__ import annotations

QUEUED = "queued"
PREPARING = "preparing"
RUNNING = "running"
FINISHED = "finished"
FAILED = "failed"
STOPPED = "stopped"
LOST = "lost"

#: A job whose status this version can't read: it says of itself what a newer one knows.
UNKNOWN = "unknown"

STATES = (QUEUED, PREPARING, RUNNING, FINISHED, FAILED, STOPPED, LOST, UNKNOWN)

ENDED = frozenset({FINISHED, FAILED, STOPPED, LOST})

#: Why a job ended that could not even begin (`reason` in its status).
REFUSED = "refused"

#: How a job's end is told to MLflow.
RUN_STATUS = {FINISHED: "FINISHED", FAILED: "FAILED", STOPPED: "KILLED", LOST: "FAILED"}
