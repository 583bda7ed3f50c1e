"""How a worker was started: written down once, and read for jobs of older versions too."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from remote.agent import launchers, processes
from remote.agent.launchers import Launch
from remote.errors import JobError
from remote.files import write_json
from remote.job.paths import JobPaths
from remote.job.status import ProcessId

JOB = "20260101-090000-train-aaaa"


@pytest.fixture
def paths(tmp_path: Path) -> JobPaths:
    paths = JobPaths(tmp_path, JOB)
    paths.folder.mkdir(parents=True)
    return paths


def ourselves() -> ProcessId:
    """The process of this test, as older versions wrote a worker into status.json."""
    return processes.identity(os.getpid())


def test_what_was_written_is_read(paths: JobPaths) -> None:
    written = Launch("tmux", {**vars(ourselves()), "socket": "own"})
    written.to_file(paths.launch)
    assert launchers.read(paths, None) == written
    assert launchers.read(paths, ProcessId(1)) == written


def test_without_a_launch_the_process_that_the_status_names_is_it(paths: JobPaths) -> None:
    found = launchers.read(paths, ourselves())
    assert found is not None and found.alive() is True
    assert found.row.attach(found.handle, JOB) == [
        "tmux",
        "-L",
        "remote",
        "attach-session",
        "-t",
        f"={JOB}",
    ]


def test_a_job_without_a_sign_of_a_worker_was_not_launched(paths: JobPaths) -> None:
    assert launchers.read(paths, None) is None


def test_nothing_is_known_of_a_launcher_of_a_newer_version(paths: JobPaths) -> None:
    Launch("hyperspace", {"ship": 7}).to_file(paths.launch)
    found = launchers.read(paths, None)
    assert found is not None and found.alive() is None
    with pytest.raises(JobError, match="'hyperspace' is not known to this version"):
        found.row.stop(found.handle)


def test_nothing_is_known_of_a_launch_that_can_not_be_read(paths: JobPaths) -> None:
    write_json(paths.launch, {"launcher": 7})
    found = launchers.read(paths, ourselves())
    assert found is not None and found.alive() is None
