"""What became of a job is told: what a worker wrote, and lost where that is clearly gone. What ends with
a service."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from remote.agent import job_state, processes
from remote.agent.job_folders import read_status
from remote.agent.job_state import START_ELSEWHERE, START_LIMIT, state_of
from remote.agent.jobs import summaries
from remote.files import read_json, write_json
from remote.job.messages.jobs import JobsRequest
from remote.job.status import (
    FAILED,
    FINISHED,
    LOST,
    PREPARING,
    PRIVATE,
    QUEUED,
    RUNNING,
    UNKNOWN,
    JobStatus,
)
from tests.agent.job_folder import IDS, KEY, Elsewhere, add, add_elsewhere, gone


def test_a_job_without_a_sign_of_life_is_queued(root: Path) -> None:
    assert state_of(add(root)).state == QUEUED


def test_a_job_that_never_started_is_lost_after_a_while(root: Path) -> None:
    paths = add(root, age=START_LIMIT + 5)
    assert state_of(paths).state == LOST


def test_a_job_that_is_being_started_is_not_lost_however_long_that_takes(
    root: Path, child: subprocess.Popen[bytes]
) -> None:
    """As the first one of an array, while the others get their code."""
    paths = add(root)
    submitter = vars(processes.identity(child.pid))
    facts = {**(read_json(paths.job) or {}), "host": os.uname().nodename, "submitter": submitter}
    write_json(paths.job, facts)
    os.utime(paths.job, (1, 1))
    assert state_of(paths).state == QUEUED
    child.kill()
    child.wait()
    assert state_of(paths).state == LOST


def test_a_job_that_is_submitted_on_another_machine_has_longer_to_start(root: Path) -> None:
    paths = add(root)
    facts = {"host": "login2", "submitter": vars(gone())}
    write_json(paths.job, {**(read_json(paths.job) or {}), **facts})
    for age, state in ((START_LIMIT + 5, QUEUED), (START_ELSEWHERE + 5, LOST)):
        os.utime(paths.job, (time.time() - age,) * 2)
        assert state_of(paths).state == state


def test_an_end_is_not_complete_while_what_was_asked_can_not_be_read(root: Path) -> None:
    """As by another user of the same target, who can't tell which runs are the job's."""
    paths = add(root, state=RUNNING, worker=gone())
    paths.live.parent.mkdir()
    paths.live.touch()
    asked = paths.job.read_bytes()
    paths.job.unlink()
    paths.job.symlink_to(paths.job.name)
    status = state_of(paths)
    assert status.state == LOST and "not completely recorded yet: job.json can't be" in status.cause
    assert paths.live.exists()
    paths.job.unlink()
    paths.job.write_bytes(asked)
    assert state_of(paths).state == LOST and not paths.live.exists()


def test_a_job_whose_folder_is_removed_meanwhile_is_not_made_anew(root: Path) -> None:
    paths = add(root)
    shutil.rmtree(paths.folder)
    assert state_of(paths).state == UNKNOWN and not paths.folder.exists()


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


def test_a_job_whose_code_can_not_be_ended_is_not_lost(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where it hangs in the kernel."""
    monkeypatch.setattr(processes, "of_job", lambda *job: [123])
    monkeypatch.setattr(processes, "end", lambda find, *, patience: find())
    status = state_of(add(root, state=RUNNING, worker=gone()))
    assert status.state == RUNNING
    assert status.cause == "its worker is gone, and its code can't be ended: process 123"


def test_a_worker_that_died_after_its_job_had_ended_has_said_how(root: Path) -> None:
    worker = gone()
    paths = add(root, state=RUNNING, worker=worker)
    noted = JobStatus(FAILED, worker=worker, exit_code=3, cause="its code failed")
    noted.to_file(paths.end)
    assert state_of(paths) == noted and read_status(paths) == noted and not paths.end.exists()


def test_a_note_that_is_half_written_says_nothing(root: Path) -> None:
    paths = add(root, state=RUNNING, worker=gone())
    paths.end.write_bytes(b'{"state": "finished"}' + os.urandom(9))
    assert state_of(paths).state == LOST


@pytest.mark.parametrize("answer", [True, None])
def test_whether_a_worker_lives_is_its_launchers_to_say(
    root: Path, elsewhere: Elsewhere, answer: bool | None
) -> None:
    """What isn't known is not lost; a pid of another machine is nobody's here."""
    elsewhere.answer = answer
    paths = add_elsewhere(root, state=RUNNING, worker=gone())
    doubt = f"elsewhere can't tell on {os.uname().nodename} whether it goes on"
    assert state_of(paths) == read_status(paths).replace(cause="" if answer else doubt)


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


@pytest.mark.parametrize("name", ["notebook", "status", "launch", "progress", "job"])
def test_a_file_that_is_nested_too_deeply_is_a_damaged_one(root: Path, name: str) -> None:
    """Which a job's own code may write, and which hides no other job."""
    paths = add(root, state=RUNNING, worker=gone())
    other = add(root, IDS[1], state=FINISHED)
    getattr(paths, name).write_text("[" * 200_000)
    first, second = summaries.describe(JobsRequest(key=KEY)).jobs
    assert first.state in (LOST, QUEUED) and second.id == other.id


@pytest.mark.parametrize("launcher", ["tmux", "slurm"])
def test_a_handle_that_is_not_known_hides_no_other_job(root: Path, launcher: str) -> None:
    """As a newer version's, which may know its workers by something else."""
    write_json(add(root, state=RUNNING).launch, {"launcher": launcher, "handle": {"cgroup": "a"}})
    other = add(root, IDS[1], state=FINISHED)
    first, second = summaries.describe(JobsRequest(key=KEY)).jobs
    assert (first.state, second.id) == (RUNNING, other.id) and "can't tell" in first.cause


@pytest.fixture
def private() -> Iterator[Path]:
    """As a service makes it."""
    prefix = Path(PRIVATE)
    with tempfile.TemporaryDirectory(
        dir=prefix.parent, prefix=prefix.name, ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)


def test_the_private_folder_goes_and_no_other(root: Path, private: Path, tmp_path: Path) -> None:
    paths = add(root)
    write_json(paths.serving, {"folder": str(private), "path": "/lab"})
    job_state.clear_service(paths)
    assert not private.exists() and not paths.serving.exists()
    write_json(paths.serving, {"folder": f"{PRIVATE}x/../../{tmp_path}", "path": "/"})
    job_state.clear_service(paths)
    assert tmp_path.is_dir()
