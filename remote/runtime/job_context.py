"""What the process belongs to: its job, and the MLflow run that the job has."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping, Optional

from remote.job.spec import JobSpec, read_job


@dataclass(frozen=True)
class Recording:
    """Where a job's runs go."""

    store: Path
    run: str
    tags: Mapping[str, str]

    def offer(self, run: str) -> None:
        """Have the next `mlflow.start_run` of this process go on with a run, and all others be
        children of it (remote.runtime.remote_job_mlflow)."""
        os.environ.update(REMOTE_JOB_OFFER=f"{os.getpid()} {run}", REMOTE_JOB_RUN=run)

    def withdraw(self) -> None:
        """Have the runs of this process be children of the job's own run, all of them."""
        os.environ.pop("REMOTE_JOB_OFFER", None)
        os.environ["REMOTE_JOB_RUN"] = self.run


@dataclass(frozen=True)
class Job:
    """A job, seen from inside. It travels to the processes that a launcher starts."""

    folder: Path
    code: Path
    spec: JobSpec
    recording: Optional[Recording]


def job() -> Optional[Job]:
    """The job that this process belongs to; None outside of one.

    Without a recording where it has no run.
    """
    named = os.environ.get("REMOTE_JOB_FOLDER")
    if not named:
        return None
    run, recording = os.environ.get("REMOTE_JOB_RUN"), None
    if run:
        tags = json.loads(os.environ.get("REMOTE_JOB_TAGS", "{}"))
        recording = Recording(Path(os.environ["REMOTE_JOB_STORE"]), run, tags)
    folder = Path(named)
    spec = read_job(folder)
    code = folder.parent.parent.parent if spec.interpreter else folder / "code"
    return Job(folder=folder, code=code, spec=spec, recording=recording)
