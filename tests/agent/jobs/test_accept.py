"""The folder of a job that is about to start, and the request that asked for it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

from remote.agent import processes
from remote.agent.jobs import accept
from remote.files import write_json
from remote.job.paths import JobPaths
from remote.job.spec import JobSpec, read_job

REQUEST = "abcd" * 8


def dead_submission(root: Path, spec: JobSpec) -> str:
    """A job whose agent was killed before its code was there; its id."""
    paths = accept.accept(root, spec, REQUEST)
    assert paths
    child = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
    )
    submitter = processes.identity(child.pid)
    child.communicate()
    job = read_job(paths.folder)
    paths.job.unlink()
    job.replace(submitter=submitter).to_file(paths.job)
    return paths.id


def test_who_asks_again_after_a_dead_submission_gets_another_id(tmp_path: Path) -> None:
    spec = JobSpec(kind="command", source="", name="sh", arguments=("true",))
    dead = dead_submission(tmp_path, spec)
    assert accept.earlier_job(tmp_path, REQUEST) is None
    again, is_new = accept.accepted(tmp_path, spec, REQUEST)
    assert is_new and again.id != dead and again.id[-5:] == dead[-5:]
    assert not (again.folder.parent / dead).exists()


def test_a_job_whose_code_is_there_and_that_nothing_runs_was_not_started(tmp_path: Path) -> None:
    """As those of an array, where the agent is killed before its scheduler has them."""
    spec = JobSpec(kind="command", source="", name="sh", arguments=("true",))
    dead = JobPaths(tmp_path, dead_submission(tmp_path, spec))
    dead.code.mkdir()
    assert accept.earlier_job(tmp_path, REQUEST) is None and not dead.folder.exists()
    again, _ = accept.accepted(tmp_path, spec, REQUEST)
    again.code.mkdir()
    write_json(again.launch, {"launcher": "slurm", "handle": {"job": "7"}})
    found = accept.earlier_job(tmp_path, REQUEST)
    assert found and found.id == again.id


def test_where_not_even_an_empty_file_has_room_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which nobody would list, and nothing remove."""
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setattr(Path, "touch", mock.Mock(side_effect=full))
    with pytest.raises(OSError, match="No space"):
        accept.create(tmp_path, "train")
    assert not list((tmp_path / ".remote/jobs").iterdir())
