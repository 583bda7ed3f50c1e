"""The jobs of a target: found by a part of their id, and told lost when their worker is gone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from remote.agent import processes, target_dir
from remote.agent.jobs import lifecycle
from remote.agent.launchers import LAUNCHERS, launch
from remote.errors import JobError, TargetError
from remote.files import write_json
from remote.job.fields import from_json, load, save, to_json
from remote.job.messages.jobs import JobsAnswer, JobsRequest, StopRequest
from remote.job.messages.target import PrepareRequest
from remote.job.paths import STATE, JobPaths
from remote.job.state import FINISHED, LOST, PREPARING, QUEUED, RUNNING, STOPPED
from remote.job.status import JobStatus, ProcessId, Progress

KEY = "0" * 16
IDS = (
    "20260101-090000-train-aaaa",
    "20260101-100000-train-bbbb",
    "20260102-090000-evaluate-cccc",
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A target that was pushed to."""
    folder = tmp_path / "proj"
    folder.mkdir()
    target_dir.prepare(PrepareRequest(path=str(folder), key=KEY, project="a" * 32))
    return folder


@pytest.fixture
def three(root: Path) -> Path:
    for job_id in IDS:
        add(root, job_id)
    return root


def add(root: Path, job_id: str = IDS[0], age: float = 0, **status: Any) -> JobPaths:
    """A job as `submit` writes it down, and its status where one is given."""
    paths = JobPaths(root, job_id)
    paths.folder.mkdir(parents=True)
    asked = {"id": job_id, "name": "train", "kind": "notebook", "source": "src/a.ipynb"}
    write_json(paths.job, {**asked, "submitted": 1.0})
    os.utime(paths.job, (time.time() - age,) * 2)
    if status:
        save(paths.status, JobStatus(**status))
    return paths


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """What a worker would be."""
    with subprocess.Popen(["sleep", "60"]) as started:
        yield started
        started.kill()


def gone() -> ProcessId:
    """The identity of a process that is dead."""
    with subprocess.Popen(["sleep", "60"]) as started:
        seen = processes.identity(started.pid)
        started.kill()
    return seen


# Finding


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (IDS[0], IDS[0]),
        ("aaaa", IDS[0]),
        ("bbb", IDS[1]),
        ("20260102", IDS[2]),
        ("eval", IDS[2]),
        ("last", IDS[2]),
        ("", IDS[2]),
        ("10000", IDS[1]),
    ],
)
def test_a_job_is_found_by_what_only_it_has(three: Path, part: str, expected: str) -> None:
    assert lifecycle.find(three, part).id == expected


def test_a_whole_id_is_found_though_another_begins_with_it(three: Path) -> None:
    add(three, IDS[0] + "-2")
    assert lifecycle.find(three, IDS[0]).id == IDS[0]


@pytest.mark.parametrize("part", ["train", "2026", "-"])
def test_what_several_have_is_refused_with_their_names(three: Path, part: str) -> None:
    with pytest.raises(JobError) as caught:
        lifecycle.find(three, part)
    assert "jobs" in caught.value.message and IDS[1] in caught.value.hint


@pytest.mark.parametrize("part", ["zzzz", "../..", "TRAIN", "train\n", "日本", "*"])
def test_what_none_has_is_refused(three: Path, part: str) -> None:
    with pytest.raises(JobError, match="There is no job"):
        lifecycle.find(three, part)


def test_without_jobs_the_way_to_start_one_is_told(root: Path) -> None:
    with pytest.raises(JobError) as caught:
        lifecycle.find(root, "last")
    assert "remote-run" in caught.value.hint


def test_many_that_match_are_not_all_named(root: Path) -> None:
    for number in range(30):
        add(root, f"20260101-0900{number:02d}-train-aaaa")
    with pytest.raises(JobError) as caught:
        lifecycle.find(root, "train")
    assert "30 jobs" in caught.value.message and caught.value.hint.count("train") == 5


def test_a_folder_that_is_no_job_is_passed_over(three: Path) -> None:
    folder = three / STATE / "jobs"
    (folder / "20270101-000000-half-made").mkdir()
    (folder / "notes.txt").write_text("")
    assert [paths.id for paths in lifecycle.every(three)] == list(IDS)


def test_a_copy_of_a_job_made_by_hand_hurts_no_other(three: Path) -> None:
    copy = three / STATE / "jobs" / f"{IDS[0]} copy"
    copy.mkdir()
    (copy / "job.json").write_text("{}")
    assert lifecycle.find(three, "aaaa").id == IDS[0]


def test_jobs_of_one_second_stand_in_the_order_of_their_submission(root: Path) -> None:
    ids = [f"20260101-090000-{name}" for name in ("z-0000", "a-ffff", "m-8888")]
    for age, job_id in enumerate(ids):
        add(root, job_id, age=100 - age)
    assert [paths.id for paths in lifecycle.every(root)] == ids
    assert lifecycle.find(root, "last").id == ids[-1]


# States


def test_a_job_without_a_sign_of_life_is_queued(root: Path) -> None:
    assert lifecycle.state_of(add(root)).state == QUEUED


def test_a_job_that_never_started_is_lost_after_a_while(root: Path) -> None:
    paths = add(root, age=lifecycle.START_LIMIT + 5)
    assert lifecycle.state_of(paths).state == LOST


@pytest.mark.parametrize("state", [PREPARING, RUNNING])
def test_a_job_whose_worker_lives_is_what_it_says(
    root: Path, child: subprocess.Popen[bytes], state: str
) -> None:
    paths = add(root, age=9999, state=state, worker=processes.identity(child.pid))
    assert lifecycle.state_of(paths).state == state


@pytest.mark.parametrize("state", [PREPARING, RUNNING])
def test_a_job_whose_worker_is_gone_is_lost_and_stays_so(root: Path, state: str) -> None:
    paths = add(root, state=state, worker=gone(), started=5.0)
    status = lifecycle.state_of(paths)
    assert status.state == LOST and "worker is gone" in status.cause
    assert status.started == 5.0 and (status.ended or 0) > 5.0
    assert load(JobStatus, paths.status) == status and lifecycle.state_of(paths) == status


def test_a_job_of_an_earlier_boot_is_lost(root: Path, child: subprocess.Popen[bytes]) -> None:
    worker = replace(processes.identity(child.pid), boot="an earlier one")
    status = lifecycle.state_of(add(root, state=RUNNING, worker=worker))
    assert status.state == LOST and status.cause == "the server was restarted"


class Elsewhere:
    """A launcher whose workers are no processes of this machine, and what it says of them."""

    PROGRAMS = ()
    START_LIMIT = None
    START_HINT = ""

    def __init__(self) -> None:
        self.answer: bool | None = True
        self.calls: list[str] = []

    def start(self, job_id: str, argv: Sequence[str], setting: str) -> dict[str, Any]:
        return {"number": 7}

    def alive(self, handle: Mapping[str, Any]) -> bool | None:
        return self.answer

    def stop(self, handle: Mapping[str, Any]) -> None:
        self.calls.append(f"stop {handle['number']}")
        self.answer = self.answer and None if "stubborn" in handle else False

    def kill(self, handle: Mapping[str, Any]) -> None:
        self.calls.append("kill")

    def attach(self, handle: Mapping[str, Any], job_id: str) -> list[str]:
        return ["attach", job_id]

    def why_ended(self, handle: Mapping[str, Any]) -> str:
        return "its time was over"


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Elsewhere:
    launcher = Elsewhere()
    monkeypatch.setitem(LAUNCHERS, "elsewhere", launcher)
    return launcher


def add_elsewhere(root: Path, **status: Any) -> JobPaths:
    """A job whose worker, as status.json has it, is a process of another machine."""
    paths = add(root, age=9999, **status)
    launch.start(paths, "elsewhere", ["work"], "")
    return paths


@pytest.mark.parametrize("answer", [True, None])
def test_whether_a_worker_lives_is_its_launchers_to_say(
    root: Path, elsewhere: Elsewhere, answer: bool | None
) -> None:
    """What isn't known is not lost; a pid of another machine is nobody's here."""
    elsewhere.answer = answer
    paths = add_elsewhere(root, state=RUNNING, worker=gone())
    assert lifecycle.state_of(paths).state == RUNNING


def test_a_job_that_its_scheduler_has_not_begun_is_queued(root: Path, elsewhere: Elsewhere) -> None:
    assert lifecycle.state_of(add_elsewhere(root)).state == QUEUED


def test_a_launcher_says_why_a_worker_ended(root: Path, elsewhere: Elsewhere) -> None:
    elsewhere.answer = False
    status = lifecycle.state_of(add_elsewhere(root, state=RUNNING))
    assert status.state == LOST and status.cause == "its time was over"


def test_a_job_that_has_not_begun_is_stopped(root: Path, elsewhere: Elsewhere) -> None:
    paths = add_elsewhere(root)
    answer = lifecycle.stop(StopRequest(key=KEY, job="last"))
    assert answer.status.state == STOPPED and elsewhere.calls == ["stop 7"]
    assert lifecycle.state_of(paths).state == STOPPED


def test_a_stop_whose_effect_is_not_known_is_told_so(root: Path, elsewhere: Elsewhere) -> None:
    elsewhere.answer = None
    paths = add(root, age=9999, state=RUNNING)
    write_json(paths.launch, {"launcher": "elsewhere", "handle": {"number": 7, "stubborn": True}})
    with pytest.raises(JobError, match="can't be told now"):
        lifecycle.stop(StopRequest(key=KEY, job="last", patience=0.1))
    assert lifecycle.state_of(paths).state == RUNNING and elsewhere.calls == ["stop 7"]


def test_an_end_needs_no_worker(root: Path) -> None:
    paths = add(root, age=9999, state=FINISHED, worker=gone(), exit_code=0)
    before = paths.status.read_bytes()
    assert lifecycle.state_of(paths).state == FINISHED
    assert paths.status.read_bytes() == before


def test_a_broken_status_file_is_no_bug(root: Path) -> None:
    paths = add(root)
    paths.status.write_text("{ half")
    assert lifecycle.state_of(paths).state == QUEUED


def test_all_jobs_are_described_the_oldest_first(
    three: Path, child: subprocess.Popen[bytes]
) -> None:
    running = JobPaths(three, IDS[1])
    save(running.status, JobStatus(RUNNING, worker=processes.identity(child.pid)))
    save(running.progress, Progress(cell=2, cells=5))
    before = time.time()
    answer = lifecycle.describe(JobsRequest(key=KEY))
    assert before <= answer.now <= time.time()
    assert [job.id for job in answer.jobs] == list(IDS)
    assert answer.jobs[1].state == RUNNING and answer.jobs[1].progress == Progress(2, 5)
    assert answer.jobs[0].source == "src/a.ipynb"
    assert from_json(JobsAnswer, json.loads(json.dumps(to_json(answer))), "answer") == answer


def test_a_target_without_jobs_has_none(root: Path) -> None:
    assert lifecycle.describe(JobsRequest(key=KEY)).jobs == ()


def test_a_target_that_was_never_pushed_to_is_told(isolated: Path) -> None:
    with pytest.raises(TargetError, match="not pushed to"):
        lifecycle.describe(JobsRequest(key="1" * 16))


# Stopping

WORKER = """
import json, os, signal, sys, time
def end(number, frame):
    json.dump({"state": "stopped", "exit_code": 143}, open(sys.argv[1] + ".new", "w"))
    os.replace(sys.argv[1] + ".new", sys.argv[1])
    sys.exit()
signal.signal(signal.SIGTERM, signal.SIG_IGN if sys.argv[2:] else end)
print("ready", flush=True)
time.sleep(60)
"""


def worker_of(paths: JobPaths, *words: str) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-c", WORKER, str(paths.status), *words]
    started = subprocess.Popen(argv, stdout=subprocess.PIPE)
    assert started.stdout and started.stdout.readline() == b"ready\n"
    save(paths.status, JobStatus(RUNNING, worker=processes.identity(started.pid)))
    return started


def test_a_worker_is_asked_to_end_its_job(root: Path) -> None:
    paths = add(root)
    with worker_of(paths):
        answer = lifecycle.stop(StopRequest(key=KEY, job="last", patience=10))
    assert answer.id == paths.id and answer.already is False
    assert answer.status.state == STOPPED and answer.status.exit_code == 143


def test_a_stubborn_worker_is_killed(root: Path) -> None:
    paths = add(root)
    with worker_of(paths, "stubborn") as worker:
        answer = lifecycle.stop(StopRequest(key=KEY, job="last", patience=0.3))
    assert worker.returncode == -signal.SIGKILL
    assert answer.status.state == STOPPED and answer.status.cause == "killed"
    assert lifecycle.state_of(paths).state == STOPPED


def test_a_job_that_has_ended_is_told_so(root: Path) -> None:
    add(root, state=FINISHED)
    answer = lifecycle.stop(StopRequest(key=KEY, job="last"))
    assert answer.already is True and answer.status.state == FINISHED


def test_a_lost_job_is_not_stopped_twice(root: Path) -> None:
    add(root, state=RUNNING, worker=gone())
    answer = lifecycle.stop(StopRequest(key=KEY, job="last"))
    assert answer.already is True and answer.status.state == LOST


def test_a_job_that_is_just_starting_can_not_be_stopped_yet(root: Path) -> None:
    add(root)
    with pytest.raises(JobError, match="just starting"):
        lifecycle.stop(StopRequest(key=KEY, job="last"))


def test_a_reused_pid_is_never_signalled(root: Path, child: subprocess.Popen[bytes]) -> None:
    worker = processes.identity(child.pid)
    add(root, state=RUNNING, worker=replace(worker, start="1"))
    lifecycle.stop(StopRequest(key=KEY, job="last", patience=0.2))
    time.sleep(0.1)
    assert child.poll() is None
