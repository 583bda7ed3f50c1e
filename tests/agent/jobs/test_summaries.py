"""The list of a target's jobs."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest

from remote.agent import job_folders, processes
from remote.agent.jobs.summaries import describe
from remote.errors import TargetError
from remote.files import read_json, write_json
from remote.job.messages.jobs import JobsAnswer, JobsRequest
from remote.job.paths import JobPaths
from remote.job.status import FINISHED, RUNNING, JobStatus, Progress
from tests.agent.job_folder import IDS, KEY, add


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


def test_what_was_asked_is_told_shortly_in_a_list_and_whole_of_one(root: Path) -> None:
    paths = add(root)
    asked = read_json(paths.job)
    assert isinstance(asked, dict)
    given = {"source": "src/notebooks/a.ipynb", "parameters": {"epoch": 3, "text": "x y " * 100}}
    write_json(paths.job, {**asked, **given, "defaults": {"lr": 0.1}, "env": {"TOKEN": "secret"}})
    (shown,) = describe(JobsRequest(key=KEY)).jobs
    assert shown.asked.startswith("a.ipynb --epoch 3 --text 'x y x y") and len(shown.asked) == 200
    assert shown.parameters == {} and shown.variables == ()
    (told,) = describe(JobsRequest(key=KEY, jobs=("last",))).jobs
    assert told.asked.endswith("x y '") and told.variables == ("TOKEN",)
    assert told.parameters["lr"] == "0.1" and len(told.parameters["text"]) == 200
    assert "secret" not in json.dumps(told.to_json())


def test_the_newest_and_those_that_go_on_are_found_without_a_look_at_the_rest(
    root: Path, child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    going = add(root, state=RUNNING, worker=processes.identity(child.pid))
    going.live.parent.mkdir(parents=True)
    going.live.touch()
    for number in range(60):
        add(root, f"20260103-0900{number:02d}-train-aaaa", state=FINISHED, ended=2.0)
    looked: list[str] = []
    written = job_folders._written
    monkeypatch.setattr(
        job_folders, "_written", lambda paths: looked.append(paths.id) or written(paths)
    )
    newest = [f"20260103-0900{number}-train-aaaa" for number in (57, 58, 59)]
    assert [job.id for job in describe(JobsRequest(key=KEY, newest=3)).jobs] == [IDS[0], *newest]
    assert sorted(looked) == [IDS[0], *newest]


def test_a_target_without_jobs_has_none(root: Path) -> None:
    assert describe(JobsRequest(key=KEY)).jobs == ()


def test_a_target_that_was_never_pushed_to_is_told(isolated: Path) -> None:
    with pytest.raises(TargetError, match="not pushed to"):
        describe(JobsRequest(key="1" * 16))
