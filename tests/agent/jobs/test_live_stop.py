"""Stopping a job: its worker is asked, then killed, and an end is written in any case."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from remote.agent import processes
from remote.agent.job_folders import read_status
from remote.agent.job_state import state_of
from remote.agent.jobs import live
from remote.agent.jobs.live import stop
from remote.errors import JobError
from remote.files import read_json, write_json
from remote.job.messages.jobs import StoppedJob, StopRequest
from remote.job.paths import JobPaths
from remote.job.status import FINISHED, LOST, RUNNING, STOPPED, UNKNOWN, JobStatus
from tests.agent.job_folder import (
    IDS,
    KEY,
    Elsewhere,
    add,
    add_elsewhere,
    gone,
)


def stop_last() -> StoppedJob:
    (ended,) = stop(StopRequest(key=KEY, jobs=("last",))).stopped
    return ended


def test_a_job_that_has_not_begun_is_stopped(root: Path, elsewhere: Elsewhere) -> None:
    paths = add_elsewhere(root)
    answer = stop_last()
    assert answer.status.state == STOPPED and elsewhere.calls == ["stop 7"]
    assert state_of(paths).state == STOPPED


def test_a_stop_whose_effect_is_not_known_is_told_so(
    root: Path, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "PATIENCE", 0.1)
    elsewhere.answer = None
    paths = add(root, age=9999, state=RUNNING)
    write_json(paths.launch, {"launcher": "elsewhere", "handle": {"number": 7, "stubborn": True}})
    assert "is unknown" in stop_last().problem
    assert state_of(paths).state == RUNNING and elsewhere.calls == ["stop 7"]


WORKER = """
import json, os, signal, sys, time
how = sys.argv[2] if sys.argv[2:] else "stopped"
def end(number, frame):
    json.dump({"state": how, "exit_code": 143}, open(sys.argv[1] + ".new", "w"))
    os.replace(sys.argv[1] + ".new", sys.argv[1])
    how == "stopped" and sys.exit()
signal.signal(signal.SIGTERM, signal.SIG_IGN if how == "stubborn" else end)
print("ready", flush=True)
time.sleep(60)
"""


def worker_of(paths: JobPaths, *words: str) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-c", WORKER, str(paths.status), *words]
    started = subprocess.Popen(argv, stdout=subprocess.PIPE)
    assert started.stdout and started.stdout.readline() == b"ready\n"
    JobStatus(RUNNING, worker=processes.identity(started.pid)).to_file(paths.status)
    return started


def test_a_worker_is_asked_to_end_its_job(root: Path) -> None:
    paths = add(root)
    with worker_of(paths):
        answer = stop_last()
    assert answer.id == paths.id and answer.already is False
    assert answer.status.state == STOPPED and answer.status.exit_code == 143


def test_a_stubborn_worker_is_killed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "PATIENCE", 0.3)
    paths = add(root)
    with worker_of(paths, "stubborn") as worker:
        answer = stop_last()
    assert worker.returncode == -signal.SIGKILL
    assert answer.status.state == STOPPED and answer.status.cause == "killed"
    assert state_of(paths).state == STOPPED


def test_a_worker_that_has_more_to_do_is_not_killed_and_its_word_stands(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one whose code had finished when it was asked, and whose --notify takes long."""
    monkeypatch.setattr(live, "PATIENCE", 0.5)
    paths = add(root)
    with worker_of(paths, "finished") as worker:
        answer = stop_last()
        assert worker.poll() is None
        worker.kill()
    assert answer.status.state == FINISHED == read_status(paths).state and not answer.problem


def test_a_worker_that_can_not_be_killed_is_not_told_as_stopped(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As another user's, on a target that several share: nobody may signal it but its own."""
    for name in ("PATIENCE", "KILLED"):
        monkeypatch.setattr(live, name, 0.2)
    monkeypatch.setattr(processes, "send", lambda pids, number: None)
    paths = add(root)
    with worker_of(paths) as worker:
        answer = stop_last()
        assert "goes on" in answer.problem and state_of(paths).state == RUNNING
        worker.kill()
        worker.wait()
    assert state_of(paths).state == STOPPED


def test_a_job_that_two_stop_while_others_look_ends_once(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "PATIENCE", 0.3)
    paths, told = add(root), list[JobStatus]()
    write_json(paths.notebook, {"cells": []})

    def look() -> None:
        while len(told) < 2:
            state_of(paths)
            time.sleep(0.002)

    with worker_of(paths, "stubborn"):
        stops = [threading.Thread(target=lambda: told.append(stop_last().status)) for _ in "ab"]
        for thread in (threads := [*stops, threading.Thread(target=look)]):
            thread.start()
        for thread in threads:
            thread.join()
    assert {status.state for status in (*told, read_status(paths))} == {STOPPED}
    (kept,) = (root / "data/results/notebooks").iterdir()
    assert kept.name.endswith(".stopped.ipynb")


def test_how_a_job_ended_whose_status_can_not_be_read_is_not_made_up(root: Path) -> None:
    paths = add(root)
    write_json(paths.launch, {"launcher": "tmux", "handle": vars(gone())})
    write_json(paths.status, {"state": "of a newer version"})
    answer = stop_last()
    assert answer.status.state == UNKNOWN and "it is unknown (status.json.state" in answer.problem
    assert read_json(paths.status) == {"state": "of a newer version"}


def test_a_job_that_has_ended_is_told_so(root: Path) -> None:
    add(root, state=FINISHED)
    answer = stop_last()
    assert answer.already is True and answer.status.state == FINISHED


def test_a_lost_job_is_not_stopped_twice(root: Path) -> None:
    add(root, state=RUNNING, worker=gone())
    answer = stop_last()
    assert answer.already is True and answer.status.state == LOST


def test_a_job_that_is_just_starting_can_not_be_stopped_yet(root: Path) -> None:
    add(root)
    assert "just starting" in stop_last().problem


def test_a_reused_pid_is_never_signalled(root: Path, child: subprocess.Popen[bytes]) -> None:
    worker = processes.identity(child.pid)
    add(root, state=RUNNING, worker=worker.replace(start="1"))
    stop_last()
    time.sleep(0.1)
    assert child.poll() is None


def test_several_are_asked_at_once_and_each_is_told(root: Path) -> None:
    first, second, third = add(root, IDS[0]), add(root, IDS[1], state=FINISHED), add(root, IDS[2])
    with worker_of(first), worker_of(third):
        answer = stop(StopRequest(key=KEY, jobs=(third.id, second.id, first.id, third.id)))
    assert [(ended.id, ended.status.state, ended.already) for ended in answer.stopped] == [
        (third.id, STOPPED, False),
        (second.id, FINISHED, True),
        (first.id, STOPPED, False),
    ]


def test_all_that_go_on_are_stopped_but_for_what_serves(root: Path) -> None:
    first, second = add(root, IDS[0]), add(root, IDS[1])
    lab = add(root, IDS[2], kind="service")
    for paths in (first, second, lab):
        paths.live.parent.mkdir(exist_ok=True)
        paths.live.touch()
    with worker_of(first), worker_of(second), worker_of(lab) as serving:
        answer = stop(StopRequest(key=KEY, all=True))
        assert serving.poll() is None
        serving.kill()
    assert {ended.id for ended in answer.stopped} == {first.id, second.id}
    assert stop(StopRequest(key=KEY, all=True)).stopped == ()


def test_nothing_is_stopped_where_one_name_is_wrong(root: Path) -> None:
    paths = add(root)
    with worker_of(paths) as worker:
        with pytest.raises(JobError, match="no job 'nonesuch'"):
            stop(StopRequest(key=KEY, jobs=(paths.id, "nonesuch")))
        assert worker.poll() is None
        worker.kill()
