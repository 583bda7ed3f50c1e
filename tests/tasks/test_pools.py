"""One table of jobs and one of GPUs over several servers, of which one gives no answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from invoke.context import Context
from invoke.exceptions import Exit

from remote.config import Project
from remote.files import write_json
from remote.job.paths import JobPaths
from remote.operations import pool
from remote.tasks import jobs, pools, server
from tests.lab import Lab


@pytest.fixture
def project(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A project that was pushed to the two that answer; `two` has a job that ended."""
    made = lab.project(tmp_path / "project")
    monkeypatch.chdir(made.root)
    monkeypatch.setenv("REMOTE_SSH_CONFIG", str(lab.config))
    servers = pool.sessions(made, "all")
    pool.ask_all(servers[:2], lambda server: server.prepare(), limit=60)
    monkeypatch.setattr(pool, "LIMIT", 0.5)
    paths = JobPaths(lab.root("two", made), "20260101-090000-train-aaaa")
    paths.folder.mkdir(parents=True)
    write_json(paths.job, {"id": paths.id, "kind": "command", "source": "", "name": "train"})
    write_json(paths.status, {"state": "failed", "cause": "exit code \x1b[31m3"})
    yield made
    for each in servers:
        if each.ssh:
            each.ssh.close()


def test_one_table_has_all_jobs_and_a_line_for_who_is_silent(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs.remote_ps(Context(), target="all")
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split() == ["TARGET", "JOB", "STATE", "GPU", "TIME", "WHAT", "AT", "RESULT"]
    assert [line.split()[:3] for line in lines] == [
        ["two", "20260101-090000-train-aaaa", "failed"],
        ["dead", "-", "no"],
    ]
    assert r"exit code \x1b[31m3" in lines[0]
    assert lines[1].endswith("It gave no answer within 0.5 s.")


def test_a_group_is_asked_alone_and_json_tells_each_ones_part(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs.remote_ps(Context(), target="lab", json=True)
    one, two = json.loads(capsys.readouterr().out)["targets"]
    assert (one["target"], one["jobs"], one["error"]) == ("one", [], None)
    assert two["address"].startswith("two:") and two["now"] > 0
    assert [job["state"] for job in two["jobs"]] == ["failed"]


def test_a_job_is_found_on_whichever_of_them_it_is(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs.remote_ps(Context(), job="train-aaaa", target="lab")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "target: two" and lines[1].endswith("20260101-090000-train-aaaa")
    with pytest.raises(Exit, match="No job 'nothing' on any of them"):
        jobs.remote_ps(Context(), job="nothing", target="lab")


def test_one_table_has_all_gpus(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    server.remote_gpus(Context(), target="all")
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split()[:3] == ["TARGET", "GPU", "NAME"]
    assert [line.split()[:2] for line in lines] == [
        ["one", "0"],
        ["one", "1"],
        ["two", "0"],
        ["two", "1"],
        ["dead", "-"],
    ]
    server.remote_gpus(Context(), target="all", json=True)
    data = json.loads(capsys.readouterr().out)["targets"]
    assert [len(each.get("gpus", ())) for each in data] == [2, 2, 0]
    assert data[2]["error"]["message"] == "It gave no answer within 0.5 s."


def test_where_nobody_answers_it_is_an_error(
    lab: Lab, project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (project.root / "pyproject.toml").read_text()
    (project.root / "pyproject.toml").write_text(f'{text}none = ["dead"]\n')
    with pytest.raises(Exit, match="No server answered"):
        jobs.remote_ps(Context(), target="none")
    assert "no answer" in capsys.readouterr().out


def test_who_was_silent_is_asked_again_now_and_then(project: Project) -> None:
    asked = list[str]()
    replies = pool.ask_all(pool.sessions(project, "all"), lambda server: server.target.label)
    for everybody in (False, True):
        asked.clear()
        again = pools._again(
            replies, lambda server: asked.append(server.target.label) or "here", everybody=everybody
        )
        assert sorted(asked) == ["one", "two"]
        assert [reply.answer for reply in again] == ["here", "here", None]
