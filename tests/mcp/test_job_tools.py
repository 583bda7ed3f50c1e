"""The tools for jobs that were started, as far as no server is needed."""

from __future__ import annotations

from unittest import mock

import pytest

from remote.errors import JobError
from remote.job.messages.jobs import StopAnswer, StoppedJob
from remote.job.status import RUNNING, JobStatus
from remote.mcp import job_tools

ID = "20260101-090000-train-aaaa"


def test_a_job_that_goes_on_is_not_told_as_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = StoppedJob(id=ID, status=JobStatus(RUNNING), problem="it can't be reached")
    there = mock.Mock()
    there.stop.return_value = StopAnswer(stopped=(stopped,))
    monkeypatch.setattr(job_tools, "sweep_of", lambda job: None)
    monkeypatch.setattr(job_tools, "reach", lambda target: there)
    with pytest.raises(JobError, match=f"{ID}: it can't be reached") as told:
        job_tools.stop(ID)
    assert told.value.hint == "Look again: inv remote-ps"
