"""A server that, asked for a job, does not do what it says."""

from __future__ import annotations

import contextlib
from typing import Any
from unittest import mock

import pytest

from remote.errors import JobError, ProtocolError
from remote.job.messages.jobs import EMPTY_STORE, JobsAnswer, SubmitAnswer
from remote.job.messages.target import Machine
from remote.job.spec import JobSpec
from remote.operations.jobs import submission

JOB = JobSpec(kind="command", source="", name="a")


def asked(*answers: Any, is_proxied: bool = False) -> submission.Submission:
    """One of a server that answers so."""
    server = mock.Mock(key="k")
    server.agent.call.side_effect = answers
    made = submission.Submission(server, [], contextlib.ExitStack(), request="0" * 32)
    made.is_proxied = is_proxied
    return made


@pytest.mark.parametrize(
    ("need", "named"), [("uv", "The uv that"), (EMPTY_STORE, "The mlflow store that")]
)
def test_what_is_brought_and_asked_for_again_is_not_brought_for_ever(
    need: str, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(submission.BROUGHT, need, lambda *words: None)
    answer = SubmitAnswer(need=need, platform=Machine("Linux", "x86_64", "gnu"))
    with pytest.raises(JobError, match=named) as told:
        asked(answer, answer).ask(JOB, "")
    assert "by hand" in told.value.hint


def test_a_job_that_is_named_nowhere_is_no_job() -> None:
    with pytest.raises(ProtocolError, match="names no job") as told:
        asked(SubmitAnswer()).ask(JOB, "")
    assert told.value.hint == submission.REPEAT
    started = SubmitAnswer(id="20260101-090000-a-aaaa")
    with pytest.raises(ProtocolError, match="reported nothing about 20260101-090000-a-aaaa"):
        asked(JobsAnswer(jobs=(), now=1.0), is_proxied=True).attend(started)
