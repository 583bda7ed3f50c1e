"""job.json: what was asked, as the agent and the laptop read it."""

from __future__ import annotations

from pathlib import Path

import pytest

from remote.errors import JobError
from remote.job.spec import Job, JobSpec, read_job

SPEC = JobSpec("script", "a.py", "a", parameters={"lr": 2}, defaults={"lr": 1, "epochs": 3})


def test_given_parameters_go_before_defaults() -> None:
    assert SPEC.all_parameters == {"lr": 2, "epochs": 3}


def test_a_program_is_shown_as_it_would_be_typed() -> None:
    assert SPEC.program == "a.py"
    command = JobSpec("command", "", "python", arguments=("python", "my file.py"))
    assert command.program == "python 'my file.py'"


def test_a_job_tells_what_was_asked_without_what_became_of_it(tmp_path: Path) -> None:
    job = Job(**vars(SPEC), id="1-a", root="/proj", submitted=5.0)
    job.to_file(tmp_path / "job.json")
    assert read_job(tmp_path) == job and type(job.spec) is JobSpec and job.spec == SPEC


def test_a_folder_without_a_job_is_told(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="job.json can't be read"):
        read_job(tmp_path)
