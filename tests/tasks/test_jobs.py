"""Logs as the tasks show them, of a job on a target of this machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from invoke.context import Context
from invoke.exceptions import Exit

from remote.config import find_project
from remote.files import write_json
from remote.job.paths import JobPaths
from remote.job.status import FINISHED
from remote.operations.jobs.follow import follow_log
from remote.session import TargetSession
from remote.tasks import jobs

LOG = "first\nsecond\nthird\n"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TargetSession:
    """A target that holds one job, which has ended."""
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    target = tmp_path / "target"
    monkeypatch.setenv("TARGET_DIR", str(target))
    found = find_project()
    server = TargetSession.of(found, found.target(""))
    server.prepare()
    paths = JobPaths(target, "20260101-090000-train-aaaa")
    paths.folder.mkdir(parents=True)
    write_json(paths.job, {"id": paths.id, "kind": "command", "source": "", "name": "train"})
    write_json(paths.status, {"state": FINISHED})
    paths.log.write_text(LOG)
    return server


def test_who_names_a_job_does_not_mean_all(server: TargetSession) -> None:
    with pytest.raises(Exit, match="--all stops all running jobs, so no job can be named with it"):
        jobs.remote_stop(Context(), job=["aaaa"], all=True)


def test_a_log_is_shown_from_its_first_line(
    server: TargetSession, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs.remote_logs(Context())
    assert capsys.readouterr().out == LOG


def test_a_job_that_is_followed_is_shown_from_its_first_line(
    server: TargetSession, capsys: pytest.CaptureFixture[str]
) -> None:
    follow_log(server, "last", wait=True)
    assert capsys.readouterr().out == LOG


def test_a_tail_is_the_last_lines(
    server: TargetSession, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs.remote_logs(Context(), tail=2)
    assert capsys.readouterr().out == "second\nthird\n"
