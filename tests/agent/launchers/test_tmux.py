"""The launcher, with a real tmux server of the test's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from remote.agent import processes
from remote.agent.launchers import logind, tmux
from remote.errors import JobError
from tests.waiting import until


@pytest.fixture
def socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a tmux server that nobody else uses."""
    if not shutil.which("tmux"):
        pytest.skip("tmux is not installed: sudo apt-get install tmux")
    monkeypatch.setenv("TMUX_TMPDIR", str(tmp_path))
    yield "own"
    subprocess.run(["tmux", "-L", "own", "kill-server"], capture_output=True)


HOSTILE = "it's a $(touch owned) `x` \"; 日本"


def test_the_words_arrive_as_they_are_in_a_session_of_that_name(
    socket: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code = "import sys, time; open(sys.argv[1], 'w').write(sys.argv[2]); time.sleep(60)"
    tmux.launch("job-1", [sys.executable, "-c", code, str(out), HOSTILE], socket=socket)
    assert until(lambda out=out: out.exists() and out.read_text()) == HOSTILE
    argv = ["tmux", "-L", socket, "list-sessions", "-F", "#{session_name}"]
    assert subprocess.check_output(argv, text=True) == "job-1\n"


def test_the_server_is_known_while_it_runs(socket: str) -> None:
    assert tmux.server(socket) is None
    tmux.launch("job-1", ["sleep", "60"], socket=socket)
    pid = tmux.server(socket)
    argv = ["tmux", "-L", socket, "display-message", "-p", "#{pid}"]
    assert pid == int(subprocess.check_output(argv, text=True))
    subprocess.run(["tmux", "-L", socket, "kill-server"], check=True)
    deadline = time.monotonic() + 10
    while processes.started(int(pid or 0)) and time.monotonic() < deadline:
        time.sleep(0.02)
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
        tmux.launch(
            f"job-{number}", ["sh", "-c", f'echo "$APART" > {out}; sleep 60'], socket=socket
        )
        assert until(lambda out=out: out.exists() and out.read_text()) == "yes\n"
    assert asked == [None, tmux.server(socket)]


def test_a_server_where_nothing_survives_starts_nothing(
    socket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(server: Callable[[], int | None]) -> list[str]:
        raise JobError("it would end", "linger")

    monkeypatch.setattr(logind, "wrap", refuse)
    with pytest.raises(JobError, match="it would end"):
        tmux.launch("job-1", ["sleep", "60"], socket=socket)
    assert tmux.server(socket) is None


def test_a_session_that_is_there_already_is_told(socket: str) -> None:
    tmux.launch("job-1", ["sleep", "60"], socket=socket)
    with pytest.raises(JobError, match="duplicate session"):
        tmux.launch("job-1", ["sleep", "60"], socket=socket)


def test_a_tmux_around_us_does_not_matter(socket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMUX", f"/nowhere/default,{os.getpid()},0")
    tmux.launch("job-1", ["sleep", "60"], socket=socket)
    assert tmux.server(socket)
