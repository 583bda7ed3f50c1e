"""VS Code, as far as a program of its name can tell what it was asked."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from remote.errors import JobError
from remote.job.messages.old_jobs import AccountAnswer
from remote.job.spec import Job
from remote.job.status import FINISHED, JobStatus
from remote.operations import editor
from remote.target import Target

ID = "20260101-090000-train-aaaa"


def server(root: str = "/srv/my proj", login: str = "ada@gpu", **settings: str) -> Any:
    target = Target.parse(f"{login}:{root}" if login else root)
    made = SimpleNamespace(
        key="k", target=target, ssh=login or None, facts=SimpleNamespace(root=root),
        agent=mock.Mock(), project=SimpleNamespace(settings=settings),
    )  # fmt: skip
    job = Job(id=ID, kind="command", source="", name="train", root=root)
    made.agent.call.return_value = AccountAnswer(job=job, status=JobStatus(FINISHED))
    return made


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a `code` on the PATH writes its words to."""
    program, said = tmp_path / "bin" / "code", tmp_path / "said"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\nimport json, sys\njson.dump(sys.argv[1:], open({str(said)!r}, 'w'))\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    return said


def test_the_folder_that_a_job_runs_in_is_opened_over_ssh(said: Path) -> None:
    editor.open_code(server(), "last")
    folder = f"/srv/my proj/.remote/jobs/{ID}/code"
    assert json.loads(said.read_text()) == ["--remote", "ssh-remote+ada@gpu", folder]


def test_without_a_job_it_is_the_tree_itself(said: Path, capsys: Any) -> None:
    editor.open_code(server(REMOTE_SSH_CONFIG="/x"), "")
    assert json.loads(said.read_text()) == ["--remote", "ssh-remote+ada@gpu", "/srv/my proj"]
    assert "not REMOTE_SSH_CONFIG" in capsys.readouterr().err


def test_a_target_on_this_machine_needs_no_ssh(said: Path) -> None:
    editor.open_code(server(login=""), "")
    assert json.loads(said.read_text()) == ["/srv/my proj"]


def test_where_it_is_not_installed_words_tell_how_it_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(JobError, match="is not on the PATH of this machine") as told:
        editor.open_code(server(), "")
    assert told.value.hint.endswith("--remote ssh-remote+ada@gpu /srv/my proj")


@pytest.mark.parametrize("root", ["--install-extension", "/a\x1b[2J"])
def test_what_a_server_calls_its_folder_is_looked_at_first(said: Path, root: str) -> None:
    hostile = server()
    hostile.facts.root = root
    with pytest.raises(JobError, match="names no folder that can be opened"):
        editor.open_code(hostile, "")
    assert not said.exists()


def test_one_that_fails_is_told_with_the_folder_to_open(said: Path) -> None:
    program = said.parent / "bin" / "code"
    program.write_text("#!/bin/sh\necho no display >&2\nexit 1\n")
    with pytest.raises(JobError, match="could not be opened: no display") as told:
        editor.open_code(server(), "")
    assert told.value.hint == "Open there by hand: /srv/my proj"
