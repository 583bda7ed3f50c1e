"""What a process finds out of the job that it belongs to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from remote.runtime.job_context import Recording, job


def test_outside_of_a_job_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REMOTE_JOB_FOLDER", raising=False)
    assert job() is None


def test_a_run_is_offered_to_this_process_alone_and_withdrawn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("REMOTE_JOB_OFFER", "REMOTE_JOB_RUN"):
        monkeypatch.setenv(name, "")
    recording = Recording(Path("mlflow.db"), "own", {})
    recording.offer("trial")
    assert os.environ["REMOTE_JOB_OFFER"] == f"{os.getpid()} trial"
    assert os.environ["REMOTE_JOB_RUN"] == "trial"
    recording.withdraw()
    assert "REMOTE_JOB_OFFER" not in os.environ and os.environ["REMOTE_JOB_RUN"] == "own"
