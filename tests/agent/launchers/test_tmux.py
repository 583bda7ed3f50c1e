"""The launcher, with a real tmux server of the test's own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from remote.agent import processes
from remote.agent.launchers import logind, tmux
from remote.errors import JobError
from remote.job.spec import Job
from tests.waiting import until


@pytest.fixture
def socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a tmux server that nobody else uses."""
    if not shutil.which("tmux"):
        pytest.skip("tmux is not installed: sudo apt-get install tmux")
    monkeypatch.setenv("TMUX_TMPDIR", str(tmp_path))
    yield "own"
    subprocess.run(["tmux", "-L", "own", "kill-server"], capture_output=True)


def start(name: str, argv: list[str], socket: str) -> dict[str, Any]:
    """A session with the worker of a job."""
    return tmux.start(Job(kind="command", source="", name="x", id=name), argv, socket)


def test_words_for_another_launcher_are_refused(socket: str) -> None:
    job = Job(kind="command", source="", name="x", id="job-1", sbatch=("-p", "long"))
    with pytest.raises(JobError, match="tmux runs this server's jobs, not Slurm"):
        tmux.start(job, ["true"], socket)
    # A page of the target's records runs on a login node, whose jobs are Slurm's.
    page = job.replace(kind="service", service="ui")
    assert tmux.start(page, ["true"], socket)["pid"]


HOSTILE = "it's a $(touch owned) `x` \"; 日本"


def test_the_words_arrive_as_they_are_in_a_session_of_that_name(
    socket: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code = (
        "import os, sys, time; open(sys.argv[1], 'w').write(f'{os.getpid()} {sys.argv[2]}');"
        " time.sleep(60)"
    )
    handle = start("job-1", [sys.executable, "-c", code, str(out), HOSTILE], socket)
    said = until(lambda: out.exists() and out.read_text())
    assert said == f"{handle['pid']} {HOSTILE}"
    argv = ["tmux", "-L", socket, "list-sessions", "-F", "#{session_name}"]
    assert subprocess.check_output(argv, text=True) == "job-1\n"


def test_the_server_is_known_while_it_runs(socket: str) -> None:
    assert tmux.server(socket) is None
    start("job-1", ["sleep", "60"], socket)
    pid = tmux.server(socket)
    argv = ["tmux", "-L", socket, "display-message", "-p", "#{pid}"]
    assert pid == int(subprocess.check_output(argv, text=True))
    subprocess.run(["tmux", "-L", socket, "kill-server"], check=True)
    until(lambda: not processes.started(int(pid or 0)))
    assert tmux.server(socket) is None


def test_where_logind_kills_only_the_server_is_started_apart(
    socket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def wrap(server: Callable[[], int | None]) -> list[str]:
        asked.append(server())
        return [] if asked[-1] else ["env", "APART=yes"]

    monkeypatch.setattr(logind, "wrap", wrap)
    for number in (1, 2):
        out = tmp_path / f"out-{number}"
        start(f"job-{number}", ["sh", "-c", f'echo "$APART" > {out}; sleep 60'], socket)
        assert until(lambda out=out: out.exists() and out.read_text()) == "yes\n"
    assert asked == [None, tmux.server(socket)]


def test_a_server_where_nothing_survives_starts_nothing(
    socket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(server: Callable[[], int | None]) -> list[str]:
        raise JobError("it would end", "linger")

    monkeypatch.setattr(logind, "wrap", refuse)
    with pytest.raises(JobError, match="it would end"):
        start("job-1", ["sleep", "60"], socket)
    assert tmux.server(socket) is None


def test_a_server_that_ends_at_that_moment_is_started_again(
    socket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    once, fake = tmp_path / "once", tmp_path / "bin/tmux"
    fake.parent.mkdir()
    says = "echo 'server exited unexpectedly' >&2; exit 1"
    fake.write_text(
        f'#!/bin/sh\n[ -e "{once}" ] || {{ touch "{once}"; {says}; }}\nexec {shutil.which("tmux")} "$@"\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}{os.pathsep}{os.environ['PATH']}")
    handle = start("job-1", ["sleep", "60"], socket)
    assert once.exists() and tmux.alive(handle)


def test_a_session_that_is_there_already_is_told(socket: str) -> None:
    start("job-1", ["sleep", "60"], socket)
    with pytest.raises(JobError, match="duplicate session"):
        start("job-1", ["sleep", "60"], socket)


@pytest.mark.parametrize("name", ["", "a b", "../x", "x\n", "$(id)"])
def test_a_strange_name_of_a_socket_is_refused(name: str) -> None:
    with pytest.raises(JobError, match="REMOTE_TMUX_SOCKET"):
        start("job-1", ["true"], name)


def test_a_worker_lives_until_it_is_stopped(socket: str) -> None:
    handle = json.loads(json.dumps(start("job-1", ["sleep", "60"], socket)))
    assert tmux.alive(handle) is True
    tmux.stop(handle)
    until(lambda: tmux.alive(handle) is False)
    assert tmux.why_ended(handle) == "its worker is gone"
    assert tmux.why_ended({**handle, "boot": "an earlier one"}) == "the server was restarted"


def test_a_worker_is_killed_with_all_below_it(socket: str, tmp_path: Path) -> None:
    out = tmp_path / "child"
    script = f"trap '' TERM; sleep 60 & echo $! > {out}; while :; do sleep 1; done"
    handle = start("job-1", ["sh", "-c", script], socket)
    child = int(until(lambda: out.exists() and out.read_text()))
    tmux.kill(handle)
    until(lambda: tmux.alive(handle) is False and processes.started(child) is None)


def test_a_reused_pid_is_never_signalled() -> None:
    """The pid is our own, and the start another's: a signal would end this test."""
    handle = {"pid": os.getpid(), "start": "1", "boot": processes.boot()}
    assert tmux.alive(handle) is False
    tmux.stop(handle)
    tmux.kill(handle)


def test_nothing_is_known_of_a_worker_of_another_machine() -> None:
    """Of several that share a target's disk, each knows its own processes alone."""
    handle = {"pid": os.getpid(), "start": "1", "boot": "another", "host": "login2"}
    assert tmux.alive(handle) is None
    # The same one, after a restart; and one that was given another name since.
    assert tmux.alive({**handle, "host": os.uname().nodename}) is False
    assert tmux.alive({**handle, "boot": processes.boot()}) is False


def test_several_nodes_are_not_tmuxs_to_give() -> None:
    job = Job(kind="command", source="", name="x", id="job-1", nodes=2)
    with pytest.raises(JobError, match="--nodes needs Slurm"):
        tmux.start(job, ["true"], "own")


def test_where_the_system_hides_processes_nothing_is_known_of_a_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handle = {"pid": os.getpid(), "start": "1", "boot": processes.boot()}

    def hidden(pid: int) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(processes, "started", hidden)
    assert tmux.alive(handle) is None


def test_the_session_is_attached_to_by_its_whole_name(socket: str) -> None:
    handle = start("job-1", ["sleep", "60"], socket)
    argv = tmux.attach(handle, "job-1")
    assert argv == ["tmux", "-L", socket, "attach-session", "-t", "=job-1"]
    said = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert "not a terminal" in said.stderr


def test_a_worker_of_an_older_version_is_found_in_the_usual_server() -> None:
    handle = {"pid": 1, "start": "1", "boot": ""}
    assert tmux.attach(handle, "job-1")[:3] == ["tmux", "-L", "remote"]


def test_a_tmux_around_us_does_not_matter(socket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMUX", f"/nowhere/default,{os.getpid()},0")
    start("job-1", ["sleep", "60"], socket)
    assert tmux.server(socket)


def test_a_worker_that_a_job_starts_is_no_part_of_that_job(
    socket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("REMOTE_JOB_ID", "job-0")
    start("job-1", ["sleep", "60"], socket)
    assert processes.of_job("job-0", tmp_path / "log", None) == []
