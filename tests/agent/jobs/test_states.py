"""What jobs keep goes with the last job that has anything of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from remote.agent.jobs import states
from remote.job.paths import JobPaths, states_folder
from remote.job.spec import Job

FIRST, SECOND, THIRD = (f"20260101-09000{number}-train-aaaa" for number in (1, 2, 3))


def add(root: Path, name: str, **asked: Any) -> JobPaths:
    paths = JobPaths(root, name)
    paths.folder.mkdir(parents=True)
    Job(id=name, kind="command", source="", name="train", **asked).to_file(paths.job)
    (states_folder(root) / name).mkdir(parents=True)
    return paths


def test_a_state_stays_as_long_as_a_job_may_go_on_with_it(root: Path) -> None:
    add(root, FIRST)
    add(root, SECOND, state=FIRST)
    add(root, THIRD)
    assert states.unused(root) == []
    assert states.unused(root, {FIRST}) == []
    assert states.unused(root, {SECOND, THIRD}) == [
        states_folder(root) / SECOND,
        states_folder(root) / THIRD,
    ]
    assert states_folder(root) / FIRST in states.unused(root, {FIRST, SECOND})


def test_where_a_job_cannot_be_read_all_stays(root: Path) -> None:
    add(root, FIRST)
    paths = add(root, SECOND)
    paths.job.write_text("{")
    assert states.unused(root, {FIRST}) == []


def test_a_target_without_any_has_none(root: Path) -> None:
    assert states.unused(root) == []
