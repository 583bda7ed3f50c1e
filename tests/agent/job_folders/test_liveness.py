"""What became of a job: what its worker wrote, and lost where that is clearly gone."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from remote.agent import processes
from remote.agent.job_folders.liveness import START_LIMIT, state_of
from remote.job.state import FINISHED, LOST, PREPARING, QUEUED, RUNNING
from remote.job.status import JobStatus
from tests.agent.job_folder import (
    Elsewhere,
    add,
    add_elsewhere,
    gone,
)


def test_a_job_without_a_sign_of_life_is_queued(root: Path) -> None:
    assert state_of(add(root)).state == QUEUED


def test_a_job_that_never_started_is_lost_after_a_while(root: Path) -> None:
    paths = add(root, age=START_LIMIT + 5)
    assert state_of(paths).state == LOST


@pytest.mark.parametrize("state", [PREPARING, RUNNING])
def test_a_job_whose_worker_lives_is_what_it_says(
    root: Path, child: subprocess.Popen[bytes], state: str
) -> None:
    paths = add(root, age=9999, state=state, worker=processes.identity(child.pid))
    assert state_of(paths).state == state


@pytest.mark.parametrize("state", [PREPARING, RUNNING])
def test_a_job_whose_worker_is_gone_is_lost_and_stays_so(root: Path, state: str) -> None:
    paths = add(root, state=state, worker=gone(), started=5.0)
    status = state_of(paths)
    assert status.state == LOST and "worker is gone" in status.cause
    assert status.started == 5.0 and (status.ended or 0) > 5.0
    assert JobStatus.from_file(paths.status) == status and state_of(paths) == status


def test_a_job_of_an_earlier_boot_is_lost(root: Path, child: subprocess.Popen[bytes]) -> None:
    worker = processes.identity(child.pid).replace(boot="an earlier one")
    status = state_of(add(root, state=RUNNING, worker=worker))
    assert status.state == LOST and status.cause == "the server was restarted"


@pytest.mark.parametrize("answer", [True, None])
def test_whether_a_worker_lives_is_its_launchers_to_say(
    root: Path, elsewhere: Elsewhere, answer: bool | None
) -> None:
    """What isn't known is not lost; a pid of another machine is nobody's here."""
    elsewhere.answer = answer
    paths = add_elsewhere(root, state=RUNNING, worker=gone())
    assert state_of(paths).state == RUNNING


def test_a_job_that_its_scheduler_has_not_begun_is_queued(root: Path, elsewhere: Elsewhere) -> None:
    assert state_of(add_elsewhere(root)).state == QUEUED


def test_a_launcher_says_why_a_worker_ended(root: Path, elsewhere: Elsewhere) -> None:
    elsewhere.answer = False
    status = state_of(add_elsewhere(root, state=RUNNING))
    assert status.state == LOST and status.cause == "its time was over"


def test_an_end_needs_no_worker(root: Path) -> None:
    paths = add(root, age=9999, state=FINISHED, worker=gone(), exit_code=0)
    before = paths.status.read_bytes()
    assert state_of(paths).state == FINISHED
    assert paths.status.read_bytes() == before


def test_a_broken_status_file_is_no_bug(root: Path) -> None:
    paths = add(root)
    paths.status.write_text("{ half")
    assert state_of(paths).state == QUEUED
