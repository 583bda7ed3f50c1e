"""Services that go on: what is wished of another one is told, and not done half."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from remote.config import Project
from remote.errors import JobError
from remote.job.messages.jobs import LogAnswer
from remote.job.messages.services import ServiceAnswer
from remote.job.spec import Job
from remote.job.status import RUNNING, JobStatus
from remote.operations import services
from remote.operations.jobs.run_options import LabOptions, ShellOptions
from remote.target_settings import TargetSettings

ID = "20260101-090000-lab-aaaa"


def server(root: Path, *answers: Any, **job: Any) -> Any:
    """One on which a JupyterLab goes on, or which gives these answers."""
    running = Job(id=ID, kind="service", source="lab", name="lab", root="/srv", **job)
    made = mock.Mock(key="k", project=Project(root, {}), settings=TargetSettings())
    made.agent.call.side_effect = [*answers] or [ServiceAnswer(job=running)]
    return made


def test_one_that_goes_on_otherwise_is_not_taken_for_what_is_wished(tmp_path: Path) -> None:
    told = "JupyterLab is running already, with folder data/results/lab, no extra torch"
    wished = LabOptions(folder="src", extras=("torch",))
    with pytest.raises(JobError, match=told) as error:
        going = server(tmp_path, folder="data/results/lab")
        services.find_or_start(going, services.LAB, wished)
    assert error.value.hint == "Stop it first: inv remote-lab --stop"


def test_a_command_for_a_shell_that_goes_on_is_not_dropped(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="is running already") as error:
        going = server(tmp_path, arguments=("bash",))
        services.find_or_start(going, services.SHELL, ShellOptions(), ("htop",))
    assert error.value.hint == "Stop it first: inv remote-shell --stop"


def test_what_was_saved_there_is_not_pushed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "saved", lambda server: ["src/a.py"])
    with pytest.raises(JobError, match="not on this machine: src/a.py") as error:
        services.find_or_start(server(tmp_path, ServiceAnswer()), services.LAB, LabOptions())
    assert "inv remote-lab --bring" in error.value.hint


def test_one_that_does_not_answer_is_told_with_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "START_LIMIT", -1)
    log = LogAnswer(ID, offset=0, status=JobStatus(RUNNING))
    with pytest.raises(JobError, match="JupyterLab doesn't answer") as error:
        services.wait(server(tmp_path, log, ServiceAnswer()), services.LAB, ID)
    assert error.value.hint == f"Its log: inv remote-logs {ID}"
