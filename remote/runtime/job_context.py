"""What the process belongs to: its job, the MLflow run that the job has, and the tags of its runs."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Mapping, Optional

from remote.job.spec import JobSpec, read_job

SQLITE = "sqlite:///"


@dataclass(frozen=True)
class Recording:
    """Where a job's runs go. `continues` tells whether user code goes on with the job's run."""

    store: Path
    run: str
    tags: Mapping[str, str]
    continues: bool


@dataclass(frozen=True)
class Job:
    """A job, seen from inside. It travels to the processes that a launcher starts."""

    folder: Path
    code: Path
    spec: JobSpec
    recording: Optional[Recording]


def job() -> Optional[Job]:
    """The job that this process belongs to; None outside of one.

    Without a recording where it has no run, or keeps its records elsewhere than in a SQLite file.
    """
    named = os.environ.get("REMOTE_JOB_FOLDER")
    if not named:
        return None
    own, parent = os.environ.get("MLFLOW_RUN_ID"), os.environ.get("REMOTE_PARENT_RUN")
    uri, run, recording = os.environ.get("MLFLOW_TRACKING_URI", ""), own or parent, None
    if run and uri.startswith(SQLITE):
        tags = json.loads(os.environ.get("REMOTE_JOB_TAGS", "{}"))
        recording = Recording(Path(uri[len(SQLITE) :]), run, tags, continues=bool(own))
    folder = Path(named)
    spec = read_job(folder)
    code = folder.parent.parent.parent if spec.interpreter else folder / "code"
    return Job(folder=folder, code=code, spec=spec, recording=recording)


class JobTags:
    """The job's tags on every MLflow run that user code starts.

    MLflow finds this class by the entry point `mlflow.run_context_provider` of the agent's zip
    (remote.rpc.bundle), and asks it with the names of its own `RunContextProvider`.
    """

    def in_context(self) -> bool:
        """Whether this process belongs to a job."""
        return "REMOTE_JOB_TAGS" in os.environ

    def tags(self) -> Dict[str, str]:
        """The tags of the job, and the run that a run of its own becomes a child of."""
        found: Dict[str, str] = json.loads(os.environ["REMOTE_JOB_TAGS"])
        parent = os.environ.get("REMOTE_PARENT_RUN")
        return {**found, "mlflow.parentRunId": parent} if parent else found
