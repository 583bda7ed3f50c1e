"""Submissions that were not answered: found again by the same command, and by no other."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from remote.operations.jobs.pending import FOLDER, LONGEST, PendingSubmission

COMMAND = ["target", {"source": "a.py"}]


def broken_off(state: Path, command: object = COMMAND) -> str:
    """The id of a submission whose process is gone before it was answered."""
    code = "import sys; from pathlib import Path; from remote.operations.jobs.pending import *"
    code += f"; print(PendingSubmission.of(Path(sys.argv[1]), {command!r}).id)"
    run = subprocess.run([sys.executable, "-c", code, str(state)], capture_output=True, text=True)
    return run.stdout.strip()


def test_the_same_command_takes_up_the_submission_that_broke_off(tmp_path: Path) -> None:
    first = broken_off(tmp_path)
    again = PendingSubmission.of(tmp_path, COMMAND)
    assert (again.id, again.is_repeated) == (first, True)


def test_another_command_does_not(tmp_path: Path) -> None:
    first = broken_off(tmp_path)
    other = PendingSubmission.of(tmp_path, ["target", {"source": "b.py"}])
    assert other.id != first and not other.is_repeated


def test_one_that_goes_on_is_left_to_its_own_process(tmp_path: Path) -> None:
    first = PendingSubmission.of(tmp_path, COMMAND)
    second = PendingSubmission.of(tmp_path, COMMAND)
    assert second.id != first.id
    first.answered()
    second.answered()
    assert not list((tmp_path / FOLDER).iterdir())


def test_after_an_answer_the_same_command_means_another_job(tmp_path: Path) -> None:
    first = PendingSubmission.of(tmp_path, COMMAND)
    first.answered()
    assert PendingSubmission.of(tmp_path, COMMAND).id != first.id


def test_what_broke_off_long_ago_is_forgotten(tmp_path: Path) -> None:
    first = broken_off(tmp_path)
    old = time.time() - LONGEST - 10
    os.utime(tmp_path / FOLDER / first, (old, old))
    assert PendingSubmission.of(tmp_path, COMMAND).id != first
    assert not (tmp_path / FOLDER / first).exists()
