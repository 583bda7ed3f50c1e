"""Servers that are looked at again and again: one call for each, and who is silent holds up nobody."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from remote.config import Project
from remote.errors import NoAnswer
from remote.operations import pool
from remote.operations.watched_servers import RETRY, WatchedServers
from remote.rpc import client
from remote.session import TargetSession
from remote.transport import process
from tests.lab import Lab
from tests.waiting import until


@pytest.fixture
def watched(
    lab: Lab, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[WatchedServers]:
    """Two targets that were pushed to, and one whose host says nothing."""
    project: Project = lab.project(tmp_path_factory.mktemp("watched") / "project")
    servers = pool.sessions(project, "all")
    pool.ask_all(servers[:2], lambda server: server.prepare(), limit=60)
    monkeypatch.setattr(pool, "LIMIT", 0.5)
    yield WatchedServers(servers)
    for server in servers:
        if server.ssh:
            server.ssh.close()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The command line of each call of an agent."""
    made = list[list[str]]()

    def feed(argv: list[str], *args: object, **options: object) -> process.Result:
        made.append(argv)
        return run(argv, *args, **options)

    run = process.feed
    monkeypatch.setattr(client.process, "feed", feed)
    return made


def test_a_look_is_one_call_for_each_host_and_the_silent_one_is_asked_now_and_then(
    watched: WatchedServers, calls: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "LIMIT", 60.0)
    one, two, dead = watched.servers
    answered = list[str]()
    watched.servers = [one, two]
    watched.look(lambda: answered.append("once"))
    assert len(calls) == 2 and {argv[-2].split("@")[-1] for argv in calls} == {"one", "two"}
    assert answered == ["once", "once"]
    first, second = (watched.replies[server.key].answer for server in (one, two))
    assert first and first.gpus and len(first.gpus.gpus) == 2 and first.jobs.jobs == ()
    assert second and second.gpus and second.gpus.gpus[0].uuid.startswith("GPU-00000001")

    monkeypatch.setattr(pool, "LIMIT", 0.5)
    watched.servers = [dead]
    watched.look(lambda: None)
    assert watched.replies[dead.key].words == "It gave no answer within 0.5 s."
    tried = list[str]()

    def log_in(server: TargetSession, *, may_ask: bool) -> None:
        tried.append(server.target.label)
        raise NoAnswer("It says nothing.")

    monkeypatch.setattr(pool, "_log_in", log_in)
    while watched.looks < RETRY:
        watched.look(lambda: None)
    assert tried == ["dead"]
    watched.look(lambda: None)
    watched.look(lambda: None, everybody=True)
    assert tried == ["dead", "dead"]


def test_who_takes_his_time_is_not_asked_twice_and_holds_up_nobody(
    watched: WatchedServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, quick, _ = watched.servers
    asked, waits = list[str](), threading.Event()

    def log_in(server: TargetSession, *, may_ask: bool) -> None:
        asked.append(server.target.label)
        if server is slow:
            waits.wait(60)

    monkeypatch.setattr(pool, "_log_in", log_in)
    monkeypatch.setattr("remote.operations.watched_servers.overview", lambda server: "here")
    watched.servers = [slow, quick]
    look = threading.Thread(target=watched.look, args=(lambda: None,))
    look.start()
    until(lambda: quick.key in watched.replies)
    watched.look(lambda: None)
    assert watched.is_asking and asked.count("one") == 1 and asked.count("two") == 2
    waits.set()
    look.join()
    assert slow.key in watched.replies and not watched.is_asking
