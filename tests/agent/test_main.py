"""The agent's entrance: what is an answer, what an error for the user, and what a bug."""

from __future__ import annotations

import errno
import importlib.util
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from remote.agent import main, target_dir
from remote.agent.main import VERBS
from remote.errors import JobError
from remote.job.messages.base import FRAME
from remote.job.messages.target import SecretAnswer

NO_SECRETS = SecretAnswer(())
REQUEST = {"verb": "secret", "key": "0" * 16}


def answer(
    monkeypatch: pytest.MonkeyPatch, request: dict[str, Any], outcome: Any = NO_SECRETS
) -> tuple[dict[str, Any], bytes]:
    """What is answered where the handler of `secret` returns, or raises, `outcome`; and the rest."""

    def handler(request: Any) -> Any:
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    out = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(target_dir, "change_secret", handler)
    monkeypatch.setattr(sys, "stdout", out)
    main.handle(dict(request))
    head, _, rest = out.buffer.getvalue().partition(b"\n")  # type: ignore[attr-defined]
    frame, length, blob = head.split(b" ")
    assert frame == FRAME and len(rest) == int(length) + int(blob)
    return json.loads(rest[: int(length)]), rest[int(length) :]


def test_an_answer_is_framed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert answer(monkeypatch, REQUEST, SecretAnswer(("A",))) == ({"names": ["A"]}, b"")


def test_a_file_follows_its_answer_and_is_gone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "blob"
    file.write_bytes(b"bytes")
    outcome = main.AnswerWithFile(SecretAnswer(()), file)
    assert answer(monkeypatch, REQUEST, outcome) == ({"names": []}, b"bytes")
    assert not file.exists()


def test_an_error_for_the_user_is_told_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    document, _ = answer(monkeypatch, REQUEST, JobError("no", "do this"))
    assert document == {"error": {"kind": "JobError", "message": "no", "hint": "do this"}}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT])
def test_what_the_server_refuses_is_no_bug(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    error = OSError(number, "the system's words", "/srv/digits")
    document, _ = answer(monkeypatch, REQUEST, error)
    assert document["error"]["kind"] == "TargetError"
    assert document["error"]["message"] == "The server says: the system's words: /srv/digits."


@pytest.mark.parametrize(
    "error", [FileNotFoundError(errno.ENOENT, "No such file"), KeyError("x"), OSError("odd")]
)
def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    document, _ = answer(monkeypatch, REQUEST, error)
    assert "Traceback" in document["bug"] and type(error).__name__ in document["bug"]


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"verb": "fly"}, "no verb 'fly'"),
        ({"key": "../x"}, "request.key"),
        ({"name": 5}, "request.name"),
        ({"value": ["x"]}, "request.value"),
    ],
)
def test_a_request_that_does_not_fit_is_refused_with_its_field(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], place: str
) -> None:
    document, _ = answer(monkeypatch, {**REQUEST, **changes})
    assert document["error"]["kind"] == "ProtocolError" and place in document["error"]["message"]


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_is_handled_by_a_function_below_the_agent(verb: str) -> None:
    """The names are strings, which no linter follows: what they lead to lies in remote.agent."""
    name, function = VERBS[verb][:2]
    spec = importlib.util.find_spec(f"remote.agent.{name}")
    assert spec is not None and spec.name.startswith("remote.agent."), name
    module = importlib.import_module(spec.name)
    handler = getattr(module, function)
    assert callable(handler) and handler.__module__ == module.__name__


_READ = """
import os, sys, time
from remote.agent import main
main._end_with_reader()
kill = os.kill
if sys.argv[1] == "lost":
    os.kill = lambda *given: setattr(os, "kill", kill)
try:
    print("begun", flush=True)
    time.sleep(600)
finally:
    time.sleep(0.5)
    print("cleared up", file=sys.stderr)
"""


@pytest.mark.parametrize("first", ["heard", "lost"])
def test_a_verb_that_only_reads_ends_with_its_reader(first: str) -> None:
    """A signal that comes just before a call that waits is as good as lost: there is another one,
    which does not disturb how the first one's work is left."""
    pipe, argv = subprocess.PIPE, [sys.executable, "-c", _READ, first]
    with subprocess.Popen(argv, stdout=pipe, stderr=pipe) as agent:
        assert agent.stdout and agent.stdout.readline() == b"begun\n"
        agent.stdout.close()
        assert agent.stderr and agent.stderr.read() == b"cleared up\n"
    assert agent.returncode == 1
