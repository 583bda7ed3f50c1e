"""The room for a job's end: taken with real blocks, given back, and never in the way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from remote.agent import reserve
from remote.errors import JobError
from remote.job.status import FINISHED, JobStatus
from tests.agent.job_folder import add
from tests.disks import fill, free, small_disk


def test_the_room_is_really_taken_and_given_back(root: Path) -> None:
    paths = add(root)
    reserve.set_aside(paths)
    assert os.stat(paths.reserve).st_blocks * 512 >= reserve.ROOM
    assert reserve.noted(paths) is None
    reserve.free(paths)
    reserve.free(paths)
    assert not paths.reserve.exists() and paths.end.exists()


def test_the_last_status_takes_no_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=2) as disk:
        paths = add(disk)
        reserve.set_aside(paths)
        reserve.free(paths)
        fill(disk)
        assert free(disk) == 0 and reserve.is_full(disk)
        status = JobStatus(FINISHED, exit_code=0, cause="x" * 1000)
        reserve.note(paths, status)
        assert reserve.noted(paths) == status and not paths.status.exists()
        reserve.publish(paths, status)
        assert JobStatus.from_file(paths.status) == status and not paths.end.exists()


def test_without_room_nothing_of_it_stays(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=2) as disk:
        paths = add(disk)
        fill(disk, leaving=200_000)
        before = free(disk)
        with pytest.raises(JobError, match="disk is full") as caught:
            reserve.set_aside(paths)
        assert str(paths.reserve) in caught.value.message
        assert not paths.reserve.exists() and not paths.end.exists() and free(disk) == before


def test_a_job_that_set_nothing_aside_ends_too(root: Path) -> None:
    """As those of earlier versions."""
    paths, status = add(root), JobStatus(FINISHED)
    reserve.note(paths, status)
    assert reserve.noted(paths) is None
    reserve.publish(paths, status)
    assert JobStatus.from_file(paths.status) == status
