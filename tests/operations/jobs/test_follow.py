"""The command that shows a job's terminal, as the server says it, run over ssh."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable
from itertools import count
from unittest import mock

import pytest

from remote.errors import ConnectError, ProtocolError
from remote.job.messages.jobs import AttachAnswer, LogAnswer, LogRequest
from remote.job.status import FINISHED, JobStatus
from remote.operations.jobs import follow
from remote.operations.jobs.follow import follow_log, over_ssh
from remote.target import Target
from remote.transport.ssh import Ssh

ARGV = ("tmux", "-L", "remote", "attach-session", "-t", "=20260101-090000-train-aaaa")


def test_every_shell_reads_the_words_as_they_are() -> None:
    argv = over_ssh(Ssh(Target.parse("gpu:/proj").login), ARGV)
    assert argv[:3] == ["ssh", "-o", "RequestTTY=force"]
    assert shlex.split(argv[-1])[-len(ARGV) :] == list(ARGV)
    printed = subprocess.check_output(["sh", "-c", f"printf '%s ' {argv[-1]}"], text=True)
    assert printed.split()[-len(ARGV) :] == list(ARGV)


@pytest.mark.parametrize("word", ["a b", "$(id)", "x'y", "`id`", "a;b", "\x1b[2J", "a\n", "!"])
def test_a_server_whose_words_a_shell_would_obey_is_refused(word: str) -> None:
    with pytest.raises(ProtocolError, match="argv"):
        AttachAnswer.from_json({"id": "20260101-a", "argv": ["tmux", word]}, "answer")


def test_a_log_that_breaks_off_tells_how_to_follow_it_again() -> None:
    server = mock.Mock(key="k")
    server.agent.call.return_value = LogAnswer("1-a", offset=0)
    with pytest.raises(ConnectError, match="connection broke") as told:
        follow_log(server, "last", wait=True)
    assert told.value.hint == "Follow it again: inv remote-logs last --follow"


def test_each_break_of_a_long_wait_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a laptop changes its network in the evening, and once more in the night."""
    server, clock, breaks = mock.Mock(key="k"), count(1.0, follow.RETRY_LIMIT), iter("abc")
    monkeypatch.setattr(follow, "RETRY_PAUSE", 0)
    monkeypatch.setattr(follow.time, "monotonic", lambda: next(clock))

    def call(request: LogRequest, on_answer: Callable[[LogAnswer], None]) -> LogAnswer:
        on_answer(LogAnswer("1-a", offset=0))
        if next(breaks, ""):
            raise ConnectError("The connection to gpu broke.")
        return LogAnswer("1-a", offset=0, status=JobStatus(FINISHED))

    server.agent.call = call
    assert follow_log(server, "last", wait=True)[1].state == FINISHED
