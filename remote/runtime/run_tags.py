"""The job's tags on every MLflow run that user code starts (`mlflow.run_context_provider`)."""

from __future__ import annotations

import json
import os

from mlflow.tracking.context.abstract_context import RunContextProvider


class JobContext(RunContextProvider):  # type: ignore[misc]
    """Found by MLflow through the entry point; does nothing outside of a job."""

    def in_context(self) -> bool:
        """Whether this process belongs to a job."""
        return "REMOTE_JOB_TAGS" in os.environ

    def tags(self) -> dict[str, str]:
        """The tags of the job, and the run that a run of its own becomes a child of."""
        found: dict[str, str] = json.loads(os.environ["REMOTE_JOB_TAGS"])
        parent = os.environ.get("REMOTE_PARENT_RUN")
        return {**found, "mlflow.parentRunId": parent} if parent else found
