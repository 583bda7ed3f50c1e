"""The tools for jobs that were started, as far as no server is needed."""

from __future__ import annotations

from unittest import mock

import pytest

from remote.errors import JobError
from remote.job.messages.jobs import StopAnswer, StoppedJob
from remote.job.status import RUNNING, JobStatus
from remote.mcp import job_tools
from remote.mcp.limits import limited

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


def test_of_a_log_that_escapes_make_too_long_the_end_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = "\tstep\n" * 5000 + "ValueError: why\n"
    monkeypatch.setattr(job_tools, "refuse_sweep", lambda job: None)
    monkeypatch.setattr(job_tools, "reach", mock.Mock())
    monkeypatch.setattr(job_tools, "Job", mock.Mock())
    job_tools.Job.return_value.log.return_value = text[-30_000:]  # type: ignore[attr-defined]
    monkeypatch.setattr(job_tools, "of_target", lambda server, told: told)
    told = limited({"text": job_tools.log(ID, most=30_000)["text"]})["text"]
    assert told.startswith("…") and told.endswith("step\nValueError: why\n")
