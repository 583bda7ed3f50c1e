"""The tags that every run of a job gets."""

from __future__ import annotations

import pytest

from remote.runtime.job_context import JobTags


def test_outside_of_a_job_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REMOTE_JOB_TAGS", raising=False)
    assert not JobTags().in_context()


def test_a_run_is_tagged_and_is_a_child_of_the_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REMOTE_JOB_TAGS", '{"remote.job": "j-1"}')
    assert JobTags().in_context() and JobTags().tags() == {"remote.job": "j-1"}
    monkeypatch.setenv("REMOTE_PARENT_RUN", "abc")
    assert JobTags().tags() == {"remote.job": "j-1", "mlflow.parentRunId": "abc"}
