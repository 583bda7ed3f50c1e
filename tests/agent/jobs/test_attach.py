"""How the terminal of a job is shown: its launcher knows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from remote.agent import processes
from remote.agent.jobs.attach import attach
from remote.errors import JobError
from remote.files import read_json, write_json
from remote.job.messages.live_job import AttachAnswer, AttachRequest
from remote.job.state import FINISHED, RUNNING
from tests.agent.job_folder import IDS, KEY, Elsewhere, add, add_elsewhere

LAST = AttachRequest(key=KEY, job="last")


def test_the_launcher_of_the_job_says_how(root: Path, elsewhere: Elsewhere) -> None:
    add_elsewhere(root, state=RUNNING)
    assert attach(LAST) == AttachAnswer(IDS[0], ("attach", IDS[0]))


def test_a_job_of_an_older_version_is_in_tmux(root: Path) -> None:
    add(root, state=RUNNING, worker=processes.identity(os.getpid()))
    assert attach(LAST).argv[:3] == ("tmux", "-L", "remote")


def test_a_job_that_has_ended_has_no_terminal(root: Path) -> None:
    add(root, state=FINISHED)
    with pytest.raises(JobError, match="has ended: finished"):
        attach(LAST)


def test_a_job_that_is_just_starting_has_none_yet(root: Path) -> None:
    add(root)
    with pytest.raises(JobError, match="just starting"):
        attach(LAST)


def test_a_job_in_a_users_own_terminal_has_no_session(root: Path) -> None:
    paths = add(root, state=RUNNING, worker=processes.identity(os.getpid()))
    write_json(paths.job, {**(read_json(paths.job) or {}), "interpreter": "/usr/bin/python3"})
    with pytest.raises(JobError, match="runs in a terminal of that machine"):
        attach(LAST)
