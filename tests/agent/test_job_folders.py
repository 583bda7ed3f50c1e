"""Jobs are found by a part of their id, and what became of them is told: what a worker wrote, and lost
where that is clearly gone. What ends with a service."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from remote.agent import job_folders, processes
from remote.agent.job_folders import START_LIMIT, every, find, read_status, state_of
from remote.errors import JobError
from remote.files import write_json
from remote.job.paths import STATE
from remote.job.status import FAILED, FINISHED, LOST, PREPARING, PRIVATE, QUEUED, RUNNING, JobStatus
from tests.agent.job_folder import IDS, Elsewhere, add, add_elsewhere, gone


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
    assert find(three, part).id == expected


def test_a_whole_id_is_found_though_another_begins_with_it(three: Path) -> None:
    add(three, IDS[0] + "-2")
    assert find(three, IDS[0]).id == IDS[0]


@pytest.mark.parametrize("part", ["train", "2026", "-"])
def test_what_several_have_is_refused_with_their_names(three: Path, part: str) -> None:
    with pytest.raises(JobError) as caught:
        find(three, part)
    assert "jobs" in caught.value.message and IDS[1] in caught.value.hint


@pytest.mark.parametrize("part", ["zzzz", "../..", "TRAIN", "train\n", "日本", "*"])
def test_what_none_has_is_refused(three: Path, part: str) -> None:
    with pytest.raises(JobError, match="There is no job"):
        find(three, part)


def test_without_jobs_the_way_to_start_one_is_told(root: Path) -> None:
    with pytest.raises(JobError) as caught:
        find(root, "last")
    assert "remote-run" in caught.value.hint


def test_many_that_match_are_not_all_named(root: Path) -> None:
    for number in range(30):
        add(root, f"20260101-0900{number:02d}-train-aaaa")
    with pytest.raises(JobError) as caught:
        find(root, "train")
    assert "30 jobs" in caught.value.message and caught.value.hint.count("train") == 5


def test_a_folder_that_is_no_job_is_passed_over(three: Path) -> None:
    folder = three / STATE / "jobs"
    (folder / "20270101-000000-half-made").mkdir()
    (folder / "notes.txt").write_text("")
    assert [paths.id for paths in every(three)] == list(IDS)


def test_a_copy_of_a_job_made_by_hand_hurts_no_other(three: Path) -> None:
    copy = three / STATE / "jobs" / f"{IDS[0]} copy"
    copy.mkdir()
    (copy / "job.json").write_text("{}")
    assert find(three, "aaaa").id == IDS[0]


def test_jobs_of_one_second_stand_in_the_order_of_their_submission(root: Path) -> None:
    ids = [f"20260101-090000-{name}" for name in ("z-0000", "a-ffff", "m-8888")]
    for age, job_id in enumerate(ids):
        add(root, job_id, age=100 - age)
    assert [paths.id for paths in every(root)] == ids
    assert find(root, "last").id == ids[-1]


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
    job_folders.clear_service(paths)
    assert not private.exists() and not paths.serving.exists()
    write_json(paths.serving, {"folder": f"{PRIVATE}x/../../{tmp_path}", "path": "/"})
    job_folders.clear_service(paths)
    assert tmp_path.is_dir()
