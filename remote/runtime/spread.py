"""Runs of a job that a scheduler has elsewhere, such as the trials of a multirun which Hydra's launcher
`submitit_slurm` spreads: SQLite is not written from several nodes, so each has a store of its own.

They are the job's children all the same: the store is merged with the job's at a pull.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import replace
from pathlib import Path

from remote.job.paths import JobPaths
from remote.runtime.job_context import Job, Recording
from remote.tracking.empty_store import empty_like

#: What Slurm calls the job that a process belongs to.
VARIABLE = "SLURM_JOB_ID"


def is_elsewhere(allocation: str) -> bool:
    """Whether this process is of another of the scheduler's jobs than `allocation`, the driver's."""
    here = os.environ.get(VARIABLE, "")
    return bool(here) and here != allocation


def own(job: Job, recording: Recording) -> Recording:
    """Where runs of this process go from now on, also those of user code."""
    paths = JobPaths(job.folder.parents[2], job.folder.name)
    store = paths.spread_store(os.environ[VARIABLE])
    with contextlib.suppress(FileExistsError):
        empty_like(recording.store, store)
        # By this the job's end finds what is left running there.
        with open(str(paths.stores), "a") as stores:
            stores.write(json.dumps(str(store)) + "\n")
    os.environ.update(MLFLOW_TRACKING_URI=f"sqlite:///{store}", REMOTE_JOB_STORE=str(store))
    return replace(recording, store=Path(store))
