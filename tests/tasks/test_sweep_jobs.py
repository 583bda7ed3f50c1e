"""The jobs of a sweep as a whole: how the command ends that waits for them."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import pytest
from invoke.exceptions import Exit

from remote.config import Project
from remote.errors import ConnectError
from remote.job.messages.jobs import JobsAnswer, JobSummary
from remote.job.status import FAILED, FINISHED, UNKNOWN
from remote.operations.jobs import sweep_jobs as operations
from remote.operations.pool import Reply
from remote.operations.sweep_record import Sweep, SweepJob
from remote.session import TargetSession
from remote.target import Target
from remote.tasks import pools, sweep_jobs

ID = "20260101-090000-train-aaaa"
SWEEP = Sweep("train-abcdef", "train", "train.py", "ada", 0.0, (SweepJob("gpu", ID),))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path, {})


def wait(
    project: Project, monkeypatch: pytest.MonkeyPatch, state: str, error: Exception | None
) -> None:
    """Wait for a sweep whose job has ended so, with a pull that ends so."""
    server = TargetSession.of(project, Target.parse("gpu:proj"))
    reply = Reply(server, JobsAnswer((JobSummary(state=state, id=ID),), 0.0))
    monkeypatch.setattr(operations, "look", lambda *_: [reply])
    monkeypatch.setattr(operations, "servers_of", lambda *_: [])
    monkeypatch.setattr(pools, "pull_all", mock.Mock(side_effect=error))
    sweep_jobs.wait_for_sweep(project, SWEEP, pull=True)


LEFT = Exit("All but 1 path was pulled.", code=3)


@pytest.mark.parametrize(
    ("state", "error", "code"), [(FAILED, LEFT, 1), (FINISHED, LEFT, 3), (FAILED, None, 1)]
)
def test_how_its_jobs_ended_goes_before_what_could_not_be_pulled(
    state: str,
    error: Exception | None,
    code: int,
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(Exit) as exit:
        wait(project, monkeypatch, state, error)
    assert exit.value.code == code


def test_a_pull_that_failed_is_an_error(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConnectError):
        wait(project, monkeypatch, FAILED, ConnectError("It broke."))


def test_a_job_of_which_nobody_can_tell_is_said_once_while_it_is_waited_for(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = TargetSession.of(project, Target.parse("gpu:proj"))
    states = [(UNKNOWN, "status.json can't be read"), (UNKNOWN, "status.json can't be read")]
    replies = [
        [Reply(server, JobsAnswer((JobSummary(state=state, cause=cause, id=ID),), 0.0))]
        for state, cause in (*states, (FINISHED, ""))
    ]
    monkeypatch.setattr(sweep_jobs, "LOOK", 0)
    monkeypatch.setattr(operations, "look", mock.Mock(side_effect=replies))
    sweep_jobs.wait_for_sweep(project, SWEEP, pull=False)
    assert capsys.readouterr().err == f"{ID} is unknown (status.json can't be read)\n"
