"""Jobs from Python, of a server that does not do what it is asked."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest

from remote.api import Job
from remote.errors import JobError, ProtocolError
from remote.job.messages.jobs import JobsAnswer, StopAnswer, StoppedJob
from remote.job.status import RUNNING, JobStatus

ID = "20260101-090000-train-aaaa"


def test_a_job_that_the_server_says_nothing_of_is_no_state() -> None:
    target: Any = mock.Mock()
    target.look.return_value = JobsAnswer(jobs=(), now=1.0)
    with pytest.raises(ProtocolError, match=f"reported nothing about {ID}"):
        assert Job(target, ID).state


def test_a_job_that_goes_on_is_not_told_as_stopped() -> None:
    target: Any = mock.Mock()
    stopped = StoppedJob(id=ID, status=JobStatus(RUNNING), problem="it can't be reached")
    target.stop.return_value = StopAnswer(stopped=(stopped,))
    with pytest.raises(JobError, match="it can't be reached") as told:
        Job(target, ID).stop()
    assert told.value.hint == "Look again: inv remote-ps"
