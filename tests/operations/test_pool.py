"""Several targets at once: each has a time limit of its own, and what one says is nobody else's."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from remote import next_steps
from remote.answers import data_of
from remote.config import Project
from remote.errors import LoginError, NoAnswer, TargetError
from remote.job.messages.gpus import GpusRequest
from remote.operations import pool
from remote.output import say
from remote.rpc.client import AgentBug
from remote.session import TargetSession
from remote.target import Target
from remote.transport import process
from tests.lab import Lab
from tests.waiting import until


@pytest.fixture
def project(lab: Lab, tmp_path: Path) -> Iterator[Project]:
    made = lab.project(tmp_path / "project")
    yield made
    for server in pool.sessions(made, "all"):
        if server.ssh:
            server.ssh.close()


def gpus(server: TargetSession) -> int:
    server.prepare()
    return len(server.agent.call(GpusRequest(key=server.key)).gpus)


def test_a_dead_host_costs_nobody_else_an_answer(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "LIMIT", 1.0)
    servers = pool.sessions(project, "all")
    replies = pool.ask_all(servers, gpus, limit=60.0)
    assert [(reply.server.target.label, reply.answer) for reply in replies] == [
        ("one", 2),
        ("two", 2),
        ("dead", None),
    ]
    assert isinstance(replies[2].error, NoAnswer)
    assert replies[2].words == "It gave no answer within 1 s."


def test_a_dead_host_is_logged_in_to_once_for_all_its_targets(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "LIMIT", 0.5)
    tried = list[str]()
    connect = pool._log_in

    def counted(server: TargetSession, *, may_ask: bool) -> None:
        tried.append(server.target.label)
        connect(server, may_ask=may_ask)

    monkeypatch.setattr(pool, "_log_in", counted)
    project = lab.project(tmp_path / "project")
    servers = [TargetSession.of(project, Target.parse(f"dead:/{name}")) for name in "abc"]
    replies = pool.ask_all(servers, gpus)
    assert tried == ["dead:/a"]
    assert all(isinstance(reply.error, NoAnswer) for reply in replies)


def test_what_a_host_does_not_answer_in_time_is_ended(project: Project) -> None:
    def sleep(server: TargetSession) -> None:
        assert server.ssh
        process.run(server.ssh.command("exec sleep 19"))

    [reply] = pool.ask_all(pool.sessions(project, "one"), sleep, limit=1.0)
    assert isinstance(reply.error, NoAnswer)
    ours = ["pgrep", "-P", str(os.getpid()), "-f", "sleep 19"]
    until(lambda: subprocess.run(ours).returncode, lambda code: code == 1)


def test_at_most_so_many_are_asked_at_once(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "AT_ONCE", 3)
    folders = [Target.parse(f"/tmp/{number}") for number in range(8)]
    servers = [TargetSession.of(project, target) for target in folders]
    meeting, most = threading.Barrier(3, timeout=20), list[int]()
    lock, count = threading.Lock(), 0

    def question(server: TargetSession) -> None:
        nonlocal count
        with lock:
            count += 1
            most.append(count)
        if server in servers[:3]:
            meeting.wait()
        with lock:
            count -= 1

    pool.ask_all(servers, question)
    assert max(most) == 3


def test_an_error_and_a_bug_are_told_of_their_own_host(project: Project) -> None:
    def question(server: TargetSession) -> str:
        if server.target.label == "one":
            raise TargetError("It has no room.", "Make some.")
        raise AgentBug("\nTraceback\nKeyError: 'x'")

    one, two = pool.ask_all(pool.sessions(project, "lab"), question)
    assert one.words == "It has no room. Make some."
    assert two.words == "The server's agent failed: KeyError: 'x' For details: --target two"


def test_the_next_step_of_one_host_is_for_that_one_alone(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    next_steps.name_target("lab")

    def question(server: TargetSession) -> None:
        say("Files stay: inv sync-push --delete")
        raise TargetError("It is full.", "Make room (inv remote-prune).")

    replies = pool.ask_all(pool.sessions(project, "lab"), question)
    for reply in replies:
        prune = f"inv remote-prune --target {reply.server.target.label}"
        assert prune in reply.words and prune in data_of(reply)["error"]["next"]
    said = sorted(capsys.readouterr().err.splitlines())
    assert said == [
        f"{name}: Files stay: inv sync-push --target {name} --delete" for name in ("one", "two")
    ]


def test_what_is_said_meanwhile_begins_with_the_host(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    pool.ask_all(pool.sessions(project, "lab"), lambda server: say("bringing uv", "once"))
    lines = capsys.readouterr().err.splitlines()
    assert sorted(lines) == ["one: bringing uv", "one: once", "two: bringing uv", "two: once"]


def test_logins_that_need_their_user_come_last_and_alone(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[tuple[str, bool]]()

    def log_in(server: TargetSession, *, may_ask: bool) -> None:
        asked.append((server.target.label, may_ask))
        if server.target.label == "one" and not may_ask:
            raise LoginError("It asks for a code.")

    monkeypatch.setattr(pool, "_log_in", log_in)
    servers = pool.sessions(project, "lab")
    one, two = pool.ask_all(servers, lambda server: server.target.label)
    assert (one.words, two.answer) == ("It asks for a code.", "two")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    assert [
        reply.answer for reply in pool.as_they_come(servers, lambda server: server.target.label)
    ] == [
        "two",
        "one",
    ]
    assert asked[-1] == ("one", True)


def test_a_login_of_a_pool_asks_nobody(lab: Lab, project: Project) -> None:
    stranger = lab.folder / "stranger"
    text = lab.config.read_text().replace("BatchMode yes", "").replace("known_hosts", "none")
    stranger.write_text(text)
    asking = Project(project.root, {"REMOTE_SSH_CONFIG": str(stranger)})
    [reply] = pool.ask_all([TargetSession.of(asking, Target.parse("one:x"))], gpus)
    assert isinstance(reply.error, LoginError), reply.words


def test_one_place_is_asked_once(lab: Lab, tmp_path: Path) -> None:
    tables = '[tool.remote.targets.again]\ndir = "./x"\n[tool.remote.targets.more]\ndir = "./x/"\n'
    project = lab.project(tmp_path / "project", tables)
    assert [server.target.label for server in pool.sessions(project, "all")][3:] == ["again"]


def test_a_port_that_is_closed_is_told_at_once(lab: Lab, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    config = tmp_path / "config"
    config.write_text(f"Host off\n  HostName 127.0.0.1\n  Port {port}\n")
    project = Project(tmp_path, {"REMOTE_SSH_CONFIG": str(config)})
    [reply] = pool.ask_all([TargetSession.of(project, Target.parse("off:x"))], gpus)
    assert "no SSH server listens" in reply.words
