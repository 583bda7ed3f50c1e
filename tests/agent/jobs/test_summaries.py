"""The list of a target's jobs."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest

from remote.agent import processes
from remote.agent.jobs.summaries import describe
from remote.errors import TargetError
from remote.job.messages.jobs import JobsAnswer, JobsRequest
from remote.job.paths import JobPaths
from remote.job.status import RUNNING, JobStatus, Progress
from tests.agent.job_folder import (
    IDS,
    KEY,
)


def test_all_jobs_are_described_the_oldest_first(
    three: Path, child: subprocess.Popen[bytes]
) -> None:
    running = JobPaths(three, IDS[1])
    JobStatus(RUNNING, worker=processes.identity(child.pid)).to_file(running.status)
    Progress(cell=2, cells=5).to_file(running.progress)
    before = time.time()
    answer = describe(JobsRequest(key=KEY))
    assert before <= answer.now <= time.time()
    assert [job.id for job in answer.jobs] == list(IDS)
    assert answer.jobs[1].state == RUNNING and answer.jobs[1].progress == Progress(2, 5)
    assert answer.jobs[0].source == "src/a.ipynb"
    assert JobsAnswer.from_json(json.loads(json.dumps(answer.to_json())), "answer") == answer


def test_a_target_without_jobs_has_none(root: Path) -> None:
    assert describe(JobsRequest(key=KEY)).jobs == ()


def test_a_target_that_was_never_pushed_to_is_told(isolated: Path) -> None:
    with pytest.raises(TargetError, match="not pushed to"):
        describe(JobsRequest(key="1" * 16))
