"""Calling the agent: frames cut as they come, errors as they were, answers that fit."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remote.errors import (
    ConfigError,
    JobError,
    ProtocolError,
    RemoteError,
    TargetError,
)
from remote.job.fields import any_json
from remote.job.messages.base import FRAME, Request
from remote.job.messages.jobs import JobsRequest
from remote.job.struct import Struct
from remote.rpc import wire
from remote.rpc.client import LONGEST_WORD, Agent, AgentBug, Reader
from remote.rpc.wire import LocalWire
from tests.rpc.calls import KEY, installed_python, prepare


def framed(value: dict[str, Any], blob: bytes = b"") -> bytes:
    data = json.dumps(value).encode()
    return b"%s %d %d\n" % (FRAME, len(data), len(blob)) + data + blob


def fed(*pieces: bytes) -> tuple[Reader, bytes, list[dict[str, Any]]]:
    blob, seen = io.BytesIO(), list[dict[str, Any]]()
    reader = Reader(on_answer=seen.append, on_blob=blob.write)
    for piece in pieces:
        reader.feed(piece)
    return reader, blob.getvalue(), seen


def bytewise(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


# Reading answers


@pytest.mark.parametrize("cut", ["whole", "bytewise"])
@pytest.mark.parametrize(
    ("noise", "values", "blob"),
    [
        (b"", [{"a": 1}], b""),
        (b"", [{"text": "日本\n" + FRAME.decode() + " 1 0\n"}], b""),
        (b"Welcome!\nLast login: today\n", [{"a": 1}], b""),
        (b"no line end", [{"a": 1}], b""),
        (b"\xff\x00==remote-agent", [{"a": 1}], b""),
        (b"", [{"a": 1}, {"a": 2}, {"a": 3}], b""),
        (b"motd\n", [{"a": 1}, {}], b"blob" * 1000),
        (b"", [{"a": 1}], FRAME + b" 2 0\n{}"),
        (b"", [{}], b"\n"),
    ],
)
def test_answers_are_read_however_they_come(
    noise: bytes, values: list[dict[str, Any]], blob: bytes, cut: str
) -> None:
    data = noise + b"".join(framed(value) for value in values[:-1]) + framed(values[-1], blob)
    reader, got, seen = fed(*([data] if cut == "whole" else bytewise(data)))
    assert (seen, got, reader.noise) == (values, blob, noise)
    assert reader.last == values[-1]


def test_an_answer_after_a_blob_is_read() -> None:
    reader, blob, seen = fed(framed({"a": 1}, b"xyz") + framed({"a": 2}, b"!"))
    assert seen == [{"a": 1}, {"a": 2}] and blob == b"xyz!"


def test_what_nobody_asked_for_is_refused() -> None:
    with pytest.raises(ProtocolError, match="3 bytes that were not requested"):
        Reader().feed(framed({"a": 1}, b"xyz"))
    with pytest.raises(ProtocolError, match="twice"):
        Reader().feed(framed({"a": 1}) + framed({"a": 2}))


def test_a_large_blob_passes_through_without_being_held() -> None:
    piece = bytes(1 << 16)
    reader = Reader(on_blob=io.BytesIO().write)
    reader.feed(framed({})[: -len(b"{}")].replace(b" 0\n", b" %d\n" % (1 << 22)) + b"{}")
    for _ in range((1 << 22) // len(piece)):
        reader.feed(piece)
        assert len(reader._held) == 0


@pytest.mark.parametrize("cut", range(1, 30))
def test_half_an_answer_is_none_yet(cut: int) -> None:
    reader, _, seen = fed(framed({"a": 1})[:-cut])
    assert seen == [] and reader.last is None


def test_noise_alone_is_no_answer() -> None:
    reader, _, seen = fed(b"bash: python3: command not found\n")
    assert seen == []


def test_noise_that_holds_the_marks_word_is_noise() -> None:
    """A shell that traces its commands, or echoes what was typed, may print it."""
    reader, _, seen = fed(b"+ echo ==remote-agent-answer== is the mark\n" + framed({"a": 1}))
    assert seen == [{"a": 1}]


@given(
    st.lists(st.dictionaries(st.text(), st.text() | st.integers()), min_size=1, max_size=4),
    st.binary(max_size=50),
    st.integers(1, 20),
)
def test_any_answers_in_any_pieces(values: list[dict[str, Any]], blob: bytes, step: int) -> None:
    data = b"banner\n" + b"".join(framed(value, blob) for value in values)
    reader, got, seen = fed(*(data[i : i + step] for i in range(0, len(data), step)))
    assert seen == values and got == blob * len(values)


# The agent where it runs


@dataclass(frozen=True)
class OldWire(LocalWire):
    """This machine, with another Python."""

    python: str = ""

    def agent(self, name: str, *words: str) -> list[str]:
        return [self.python, "-W", "error", *super().agent(name, *words)[1:]]


def test_the_oldest_python_runs_the_zip(tmp_path: Path, isolated: Path) -> None:
    caller = Agent(OldWire(python=str(installed_python("3.8"))))
    answer = prepare(caller, tmp_path / "proj")
    assert answer.state == "ours"
    assert (isolated / wire.CACHE / caller.name).is_file()
    assert caller.call(JobsRequest(KEY)).jobs == ()


def test_the_agent_is_brought_once(tmp_path: Path, isolated: Path) -> None:
    caller = Agent(LocalWire())
    file = isolated / wire.CACHE / caller.name
    assert not file.exists()
    prepare(caller, tmp_path / "proj")
    made = file.stat()
    prepare(caller, tmp_path / "proj")
    assert file.stat().st_ino == made.st_ino and made.st_mode & 0o777 == 0o700


# What comes back


class Answer(Struct):
    given: Any = any_json(1 << 30)


class Ask(Request[Answer], verb="ask", answer=Answer):
    value: Any = any_json(1 << 30, default=None)


@dataclass(frozen=True)
class Scripted(LocalWire):
    """A machine whose agent is this Python code."""

    code: str = ""

    def agent(self, name: str, *words: str) -> list[str]:
        return [sys.executable, "-c", self.code, *words]


def answering(value: dict[str, Any], *, noise: bytes = b"", blob: bytes = b"") -> Agent:
    data = noise + framed(value, blob)
    return Agent(Scripted(f"import sys; sys.stdout.buffer.write({data!r})"))


@pytest.mark.parametrize("kind", [ConfigError, TargetError, JobError])
def test_an_error_comes_back_as_the_same_error(kind: type[RemoteError]) -> None:
    error = {"kind": kind.__name__, "message": "日本 m", "hint": "h"}
    with pytest.raises(kind) as caught:
        answering({"error": error}).call(Ask())
    assert (caught.value.message, caught.value.hint) == ("日本 m", "h")


@pytest.mark.parametrize("kind", ["NewerError", "annotations", "__doc__", "__name__"])
def test_an_unknown_kind_of_error_is_an_error_all_the_same(kind: str) -> None:
    with pytest.raises(RemoteError, match="what happened"):
        answering({"error": {"kind": kind, "message": "what happened", "hint": ""}}).call(Ask())


def test_a_bug_comes_back_as_a_bug() -> None:
    with pytest.raises(AgentBug, match="Traceback of the agent"):
        answering({"bug": "Traceback of the agent"}).call(Ask())
    with pytest.raises(AgentBug) as caught:
        answering({"bug": "line\n\x1b[2Jline"}).call(Ask())
    assert str(caught.value) == "\nline\n\\x1b[2Jline"


def test_the_real_agent_tells_its_errors(tmp_path: Path, isolated: Path) -> None:
    with pytest.raises(TargetError, match="home folder"):
        prepare(Agent(LocalWire()), isolated)
    with pytest.raises(TargetError, match="not pushed to yet"):
        Agent(LocalWire()).call(JobsRequest(KEY))


def test_the_real_agent_refuses_what_it_does_not_know(isolated: Path) -> None:
    with pytest.raises(ProtocolError, match="no verb 'ask'"):
        Agent(LocalWire()).call(Ask())


def test_noise_is_noticed() -> None:
    for noise, noisy in ((b"", False), (b"  \n", False), (b"Welcome\n", True)):
        caller = answering({"given": {"a": 1}}, noise=noise)
        assert caller.noisy is None
        assert caller.call(Ask()) == Answer({"a": 1})
        assert caller.noisy is noisy


def test_a_blob_comes_back(tmp_path: Path) -> None:
    with open(tmp_path / "blob", "w+b") as file:
        answering({"given": {"a": 1}}, blob=b"x" * 100_000).call(Ask(), on_blob=file.write)
        assert file.tell() == 100_000


def test_a_request_arrives_as_it_was_given() -> None:
    code = (
        "import sys, json; given = json.load(sys.stdin)\n"
        "data = json.dumps({'given': given}).encode()\n"
        f"sys.stdout.buffer.write(b'%s %d 0\\n' % ({FRAME!r}, len(data)) + data)"
    )
    value = ["$(x)", "'\"", "a\nb", "日本", "-x", "x" * 100_000, "\udcff", None, 1.5]
    answer = Agent(Scripted(code)).call(Ask(value))
    assert answer.given == {"verb": "ask", "value": value}


class AskOpenly(Request[Answer], verb="ask", answer=Answer, public=True):
    value: Any = any_json(1 << 30, default=None)


#: Answers with its words, and with what comes on standard input.
_WORDS = (
    "import sys, json; given = [sys.argv[1:], sys.stdin.read()]\n"
    "data = json.dumps({'given': given}).encode()\n"
    f"sys.stdout.buffer.write(b'%s %d 0\\n' % ({FRAME!r}, len(data)) + data)"
)


def test_only_what_others_may_read_and_is_short_is_a_word_of_the_command_line() -> None:
    agent, value = Agent(Scripted(_WORDS)), ["$(x)", "'\"", "日本"]
    (mark, word), given = agent.call(AskOpenly(value)).given
    assert json.loads(bytes.fromhex(word)) == {"verb": "ask", "value": value}
    assert (mark, given) == ("ask", "")
    for request in (Ask(value), AskOpenly("x" * LONGEST_WORD)):
        words, given = agent.call(request).given
        assert words == [] and json.loads(given)["value"] == request.value


def test_the_real_agent_takes_a_request_either_way(tmp_path: Path) -> None:
    caller = Agent(LocalWire())
    prepare(caller, tmp_path / "proj")
    assert caller.call(JobsRequest(KEY)).jobs == ()
    assert caller.call(JobsRequest(KEY, jobs=())).jobs == ()
    with pytest.raises(JobError, match="no job"):
        caller.call(JobsRequest(KEY, jobs=("x" * LONGEST_WORD,)))


@pytest.mark.parametrize(
    "code",
    ["", "import sys; sys.exit('went wrong')", "print('only noise')", "raise MemoryError"],
)
def test_an_agent_without_an_answer_is_an_error(code: str) -> None:
    with pytest.raises(RemoteError, match="gave no answer"):
        Agent(Scripted(code)).call(Ask())


def test_an_answer_that_breaks_off_is_an_error() -> None:
    data = framed({"given": {"a": 1}}, b"x" * 100)[:-50]
    with pytest.raises(RemoteError):
        Agent(Scripted(f"import sys; sys.stdout.buffer.write({data!r})")).call(
            Ask(), on_blob=io.BytesIO().write
        )


def test_the_last_word_of_a_failed_agent_is_told() -> None:
    with pytest.raises(RemoteError, match="went wrong"):
        Agent(Scripted("import sys; sys.exit('went wrong')")).call(Ask())


# Answers that don't fit


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"jobs": [{"state": "flying"}], "now": 1}, r"jobs\[0\].state"),
        ({"jobs": [{"state": "lost", "id": "../../x"}], "now": 1}, r"jobs\[0\].id"),
        ({"jobs": [{"state": "lost", "host": "\x1b[2J"}], "now": 1}, r"jobs\[0\].host"),
        ({"jobs": [{"state": "lost", "cause": "x" * 99_999}], "now": 1}, r"jobs\[0\].cause"),
        ({"jobs": [{"state": "lost", "peak_memory": -1}], "now": 1}, r"jobs\[0\].peak_memory"),
        ({"jobs": [], "now": float("nan")}, "now"),
        ({"jobs": []}, "lacks now"),
        ({"error": {"kind": "JobError", "message": ["x"]}}, "error.message"),
    ],
)
def test_an_answer_that_does_not_fit_is_refused_with_its_field(
    value: dict[str, Any], place: str
) -> None:
    with pytest.raises(ProtocolError, match=place):
        answering(value).call(JobsRequest(KEY))


@pytest.mark.parametrize(
    "data",
    [
        "b' 5 0\\n[1,2\\n'",
        "b' 4 0\\nnull'",
        "b' 999999999999 0\\n{}'",
        "b' 200000 0\\n' + b'[' * 200_000",
    ],
)
def test_an_answer_that_is_no_object_is_refused(data: str) -> None:
    code = f"import sys; sys.stdout.buffer.write({FRAME!r} + {data})"
    with pytest.raises(RemoteError):
        Agent(Scripted(code)).call(JobsRequest(KEY))


def test_what_the_agent_waits_for_is_told_and_is_no_answer(
    capsys: pytest.CaptureFixture[str],
) -> None:
    notice = framed({"notice": {"words": "Waiting for another push\x1b[2J"}})
    reader, _, seen = fed(b"hello\n", notice, framed({"notice": [], "waiting": []}))
    assert capsys.readouterr().err == "Waiting for another push\\x1b[2J\n"
    assert seen == [{"notice": [], "waiting": []}] and reader.noise == b"hello\n"
