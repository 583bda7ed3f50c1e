"""A target of a project, on this machine: the agent is the real one, started here."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from unittest import mock

import pytest

from remote.config import Project
from remote.errors import TargetError, TransferError
from remote.job.messages.target import ABSENT, FOREIGN, OURS
from remote.session import TargetSession, project_id
from remote.target import Target
from remote.transport.rsync import Unready
from remote.transport.rsync_dialect import dialect


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "project").mkdir()
    return Project(tmp_path / "project", {})


@pytest.fixture
def server(project: Project, tmp_path: Path) -> TargetSession:
    return TargetSession.of(project, Target.parse(str(tmp_path / "it's a 目標")))


def again(server: TargetSession) -> TargetSession:
    """The same target, as the next command sees it."""
    return TargetSession.of(server.project, server.target)


def test_a_copy_of_a_project_has_one_number_for_good(project: Project, tmp_path: Path) -> None:
    number = project_id(project)
    assert re.fullmatch("[0-9a-f]{32}", number)
    assert project_id(Project(project.root, {"TARGET_DIR": "x"})) == number
    assert project_id(Project(tmp_path / "another copy", {})) != number


def test_what_is_known_of_a_target_is_known_to_the_next_command(server: TargetSession) -> None:
    server.remember(links=("a",), ours=True)
    assert again(server).facts == server.facts
    assert again(server).facts.links == ("a",)
    server.remember(links=())
    assert again(server).facts.ours and again(server).facts.links == ()


def test_what_is_nothing_new_is_not_written(server: TargetSession) -> None:
    server.remember(cut=False)
    assert not server.file.exists()
    server.remember(cut=True)
    server.file.unlink()
    server.remember(cut=True)
    assert not server.file.exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"links": 1}', '{"ours": "yes"}'])
def test_what_can_not_be_read_is_asked_again(server: TargetSession, text: str) -> None:
    server.file.parent.mkdir(parents=True)
    server.file.write_text(text)
    assert again(server).facts == server.facts and not server.facts.ours


def test_facts_that_another_version_wrote_are_read(server: TargetSession) -> None:
    server.file.parent.mkdir(parents=True)
    server.file.write_text(json.dumps({"links": ["a"], "files": 3, "from the future": [1]}))
    assert again(server).facts.links == ("a",)


def test_what_was_pulled_is_noted_beside_the_facts(server: TargetSession) -> None:
    folder = server.project.root / ".remote/targets"
    assert server.file == folder / f"{server.target.key}.json"
    assert server.pulled == folder / f"{server.target.key}.pulled.json"


def test_a_target_that_is_made_ready_is_remembered_as_this_projects(server: TargetSession) -> None:
    answer = server.prepare()
    root = Path(server.target.path)
    assert (answer.state, answer.root) == (OURS, str(root.resolve()))
    facts = again(server).facts
    assert (facts.ours, facts.noisy) == (True, False)
    assert (root / ".remote/projects" / project_id(server.project)).exists()


def test_a_look_makes_nothing(server: TargetSession) -> None:
    assert server.prepare(look=True).state == ABSENT
    assert not Path(server.target.path).exists() and not again(server).facts.ours


def test_a_folder_of_others_is_taken_over_only_when_asked(server: TargetSession) -> None:
    root = Path(server.target.path)
    root.mkdir()
    (root / "theirs.py").write_text("x")
    assert server.prepare().state == FOREIGN and not again(server).facts.ours
    assert server.prepare(take_over=True).state == OURS and again(server).facts.ours


def test_what_is_no_folder_is_refused_and_nothing_is_remembered(server: TargetSession) -> None:
    Path(server.target.path).write_text("a file")
    with pytest.raises(TargetError):
        server.prepare()
    assert not server.file.exists()


def test_settings_name_the_ssh_configuration_and_the_tmux_server(tmp_path: Path) -> None:
    target = Target.parse("me@gpu:/proj")
    plain = TargetSession.of(Project(tmp_path, {}), target)
    assert plain.ssh is not None and plain.ssh.login == "me@gpu" and plain.socket == "remote"
    settings = {"REMOTE_SSH_CONFIG": "/my/config", "REMOTE_TMUX_SOCKET": "mine"}
    named = TargetSession.of(Project(tmp_path, settings), target)
    assert named.ssh is not None and named.ssh.config == "/my/config"
    assert named.socket == "mine"


def test_every_transfer_over_a_long_way_lists_at_once(project: Project) -> None:
    """Where this machine's rsync can: each thousand files would take a round trip."""
    far = TargetSession.of(project, Target.parse("me@host:/d"))
    options = dialect().only("--no-inc-recursive")
    arguments = far.remote.arguments()
    assert options == [name for name in arguments if name == "--no-inc-recursive"]
    done = subprocess.run(["rsync", "--no-inc-recursive", "--version"], capture_output=True)
    assert bool(options) == (done.returncode == 0)
    assert TargetSession.of(project, Target.parse("/d")).remote.arguments() == []


def test_an_rsync_that_never_starts_is_told_after_a_second_try(
    server: TargetSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TargetSession, "look", lambda server: None)
    run = mock.Mock(side_effect=Unready("rsync: not found"))
    with pytest.raises(TransferError, match="did not start on .*: rsync: not found") as told:
        server.transfer(run)
    assert run.call_count == 2 and "rsync --version" in told.value.hint
