"""Jobs are found by a part of their id, in the order of their submission."""

from __future__ import annotations

from pathlib import Path

import pytest

from remote.agent import job_folders
from remote.agent.job_folders import every, find, of_sweep
from remote.errors import JobError
from remote.job.paths import STATE
from tests.agent.job_folder import IDS, add


def test_only_folders_that_may_be_meant_are_looked_at(
    three: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    look = job_folders._written
    monkeypatch.setattr(
        job_folders, "_written", lambda paths: looks.append(paths.id) or look(paths)
    )
    assert find(three, IDS[0]).id == IDS[0] and not of_sweep(three, IDS[0])
    assert set(looks) == {IDS[0]}


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
