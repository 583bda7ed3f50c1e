"""Several jobs by one request: what is told where not all of them can be started."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from remote.agent.jobs import accept, sweep
from remote.job.messages.jobs import SubmitAnswer, SubmitRequest
from remote.job.paths import JobPaths
from remote.job.spec import JobSpec
from remote.job.status import RUNNING, JobStatus
from tests.agent.job_folder import KEY, gone


def test_what_was_started_is_told_where_the_disk_is_full_then(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = JobSpec(kind="command", source="", name="s-1")
    first = accept.accept(root, spec, "ab" * 16)
    assert first
    JobStatus(RUNNING, worker=gone()).to_file(first.status)
    answer = SubmitAnswer(id=first.id, environment_ready=True)
    monkeypatch.setattr(sweep.single, "submit", lambda request: answer)

    def fill(paths: JobPaths, spec: JobSpec, request: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(paths.job))

    monkeypatch.setattr(accept, "write_job", fill)
    request = SubmitRequest(key=KEY, job=spec, more=(spec, spec), request="ab" * 16)
    told = sweep.submit(request)
    assert told.ids == (first.id,) and "No space left on device" in told.problem
