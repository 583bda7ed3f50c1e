"""A job's log, sent as it grows: nothing twice, nothing left out, no letter cut in two."""

from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remote import files
from remote.agent import processes, target_dir
from remote.agent.job_folders import find
from remote.agent.jobs import live, log_tail
from remote.agent.jobs.live import attach
from remote.errors import JobError
from remote.files import read_json, write_json
from remote.job.messages.jobs import AttachAnswer, AttachRequest, LogAnswer, LogRequest
from remote.job.messages.target import PrepareRequest
from remote.job.paths import JobPaths
from remote.job.status import FINISHED, RUNNING, UNKNOWN, JobStatus
from tests.agent.job_folder import IDS, KEY, Elsewhere, add, add_elsewhere, gone


@pytest.fixture
def paths(tmp_path: Path) -> JobPaths:
    """A job that has ended, without a log yet."""
    root = tmp_path / "proj"
    root.mkdir()
    target_dir.prepare(PrepareRequest(path=str(root), key=KEY, project="a" * 32))
    made = JobPaths(root, "20260101-090000-train-aaaa")
    made.folder.mkdir()
    write_json(made.job, {})
    JobStatus(FINISHED).to_file(made.status)
    return made


def follow(**options: Any) -> tuple[str, list[LogAnswer], LogAnswer]:
    """The text that came, the answers it came in, and the last word."""
    sent: list[LogAnswer] = []
    last = live.follow(LogRequest(key=KEY, job="last", **options), send=sent.append)
    return "".join(answer.text for answer in sent), sent, last


def test_the_whole_log_comes(paths: JobPaths) -> None:
    paths.log.write_text("one\n二\nthree", "utf-8")
    text, _, last = follow()
    assert text == "one\n二\nthree"
    assert last == LogAnswer(paths.id, len(text.encode()), status=JobStatus(FINISHED))


def test_a_job_without_a_log_has_an_empty_one(paths: JobPaths) -> None:
    text, sent, last = follow()
    assert (text, sent, last.offset) == ("", [], 0)


@pytest.mark.parametrize(
    ("content", "tail", "expected"),
    [
        ("a\nb\nc\n", 1, "c\n"),
        ("a\nb\nc\n", 2, "b\nc\n"),
        ("a\nb\nc", 2, "b\nc"),
        ("a\nb\nc\n", 3, "a\nb\nc\n"),
        ("a\nb\nc\n", 99, "a\nb\nc\n"),
        ("", 5, ""),
        ("one line", 5, "one line"),
        ("\n", 1, "\n"),
        ("日本\n語\n", 1, "語\n"),
        ("x" * 200_000 + "\nlast\n", 1, "last\n"),
        ("first\n" + "x" * 200_000 + "\n", 1, "x" * 200_000 + "\n"),
        ("a\n" * 100_000, 3, "a\na\na\n"),
        ("é" * 65_536 + "\né\n", 1, "é\n"),
        ("a\n\n\n", 1, "a\n\n\n"),
        ("\n\n", 1, "\n\n"),
        ("a\n\nb", 2, "\nb"),
        # What a carriage return had written over is not on the screen.
        ("a\n" + "\r 1%\r 2%" * 50_000, 1, " 2%"),
        ("a\n" + "\r 1%\r 2%" * 50_000, 2, "a\n 2%"),
        ("a\n" + "1%\r2%\r" * 50_000 + "\nb\n", 2, "2%\r\nb\n"),
        ("a\r\nb\r\n", 1, "b\r\n"),
        ("a\r\nb\r\n", 2, "a\r\nb\r\n"),
        ("\r\r", 1, "\r\r"),
        ("x\ry" + "\r" * 70_000 + "\n", 1, "y" + "\r" * 70_000 + "\n"),
    ],
)
def test_the_tail_is_the_last_lines(
    paths: JobPaths, content: str, tail: int, expected: str
) -> None:
    paths.log.write_text(content, "utf-8")
    text, _, last = follow(tail=tail)
    assert text == expected and last.offset == len(content.encode())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(st.sampled_from(["a", "日本", "", "x" * 50_000]), min_size=1), st.integers(1, 6))
def test_any_tail_is_what_tail_prints(paths: JobPaths, lines: list[str], tail: int) -> None:
    lines = [*lines, "end"]
    paths.log.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    assert follow(tail=tail)[0] == "".join(f"{line}\n" for line in lines[-tail:])


@pytest.mark.parametrize("shift", [0, 1, 2, 3])
def test_a_letter_at_a_block_border_is_not_cut(paths: JobPaths, shift: int) -> None:
    content = "x" * (log_tail.BLOCK - shift) + "日本語" * 50_000
    paths.log.write_text(content, "utf-8")
    assert follow()[0] == content


def test_bytes_that_are_no_text_do_not_stop_the_log(paths: JobPaths) -> None:
    paths.log.write_bytes(b"a\xff\xfeb\n\x00c\n")
    assert follow()[0] == "a\ufffd\ufffdb\n\0c\n"


def test_it_goes_on_where_it_broke_off(paths: JobPaths) -> None:
    paths.log.write_text("before\n")
    first, _, last = follow()
    with open(paths.log, "a") as file:
        file.write("after\n")
    assert follow(offset=last.offset)[0] == "after\n"


@pytest.mark.parametrize("shift", [0, 1, 2, 3])
def test_it_goes_on_between_blocks_without_losing_a_letter(paths: JobPaths, shift: int) -> None:
    """A client that lost its connection has the answers up to some offset, and asks from there."""
    content = "x" * (log_tail.BLOCK - shift) + "日本語" * 30_000
    paths.log.write_text(content, "utf-8")
    _, sent, _ = follow()
    assert len(sent) > 2
    got = ""
    for answer in sent[:-1]:
        got += answer.text
        assert got + follow(offset=answer.offset)[0] == content


@pytest.mark.parametrize("state", ["of a newer version", ""])
def test_how_a_job_ended_that_can_not_be_told_is_not_waited_for(
    paths: JobPaths, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    """Also of one whose folder somebody removes."""
    monkeypatch.setattr(live, "UNREADABLE", 0.2)
    found = find(paths.root, "last")
    monkeypatch.setattr(live, "find", lambda *asked: found)
    if state:
        write_json(paths.status, {"state": state})
        write_json(paths.launch, {"launcher": "tmux", "handle": vars(gone())})
    else:
        shutil.rmtree(paths.folder)
    with pytest.raises(JobError, match=f"How {paths.id} ended is unknown: "):
        follow(wait=True)
    last = follow()[2]
    assert last.status and last.status.state == UNKNOWN


@pytest.mark.parametrize(
    ("alive", "state", "told"),
    [(True, "of a newer version", "status.json.state: "), (None, RUNNING, "elsewhere can't tell")],
)
def test_what_can_not_be_told_is_waited_for_while_its_worker_may_live(
    paths: JobPaths,
    elsewhere: Elsewhere,
    monkeypatch: pytest.MonkeyPatch,
    alive: bool | None,
    state: str,
    told: str,
) -> None:
    said = list[str]()
    monkeypatch.setattr(live, "UNREADABLE", 0.1)
    monkeypatch.setattr(files, "on_wait", said.append)
    write_json(paths.launch, {"launcher": "elsewhere", "handle": {}})
    write_json(paths.status, {"state": state})
    elsewhere.answer = alive
    later = threading.Timer(0.6, lambda: JobStatus(FINISHED).to_file(paths.status))
    later.start()
    assert follow(wait=True)[2].status == JobStatus(FINISHED)
    (words,) = said
    assert words.startswith(f"Whether {paths.id} goes on is unknown: {told}")


@pytest.mark.parametrize("note", [b"\0\0\0", b"17000", b"x 1 2"])
def test_a_note_that_is_damaged_hides_no_log(paths: JobPaths, note: bytes) -> None:
    """As where the machine went down while it was written."""
    paths.log.write_text("old\nnew\n")
    paths.times.write_bytes(b"5 0\n" + note + f"\n{time.time()} 4\n".encode())
    assert follow(since=60)[0] == "new\n"


def test_an_offset_behind_the_end_brings_nothing(paths: JobPaths) -> None:
    paths.log.write_text("short")
    assert follow(offset=1000)[0] == ""


def test_without_wait_a_running_job_is_shown_as_far_as_it_is(paths: JobPaths) -> None:
    running().to_file(paths.status)
    paths.log.write_text("so far\n")
    text, _, last = follow()
    assert text == "so far\n" and last.status and last.status.state == RUNNING


def test_a_log_that_grows_faster_than_it_is_read_is_shown_as_far_as_it_was(
    paths: JobPaths,
) -> None:
    running().to_file(paths.status)
    paths.log.write_text("x" * 3 * log_tail.BLOCK)
    request, sent = LogRequest(key=KEY, job="last"), list[str]()

    def send(answer: LogAnswer) -> None:
        sent.append(answer.text)
        with open(paths.log, "a") as file:
            file.write("y" * 2 * log_tail.BLOCK)

    live.follow(request, send=send)
    assert "".join(sent) == "x" * 3 * log_tail.BLOCK


@pytest.mark.parametrize(("tail", "expected"), [(0, "ne\nthree"), (1, "three"), (9, "ne\nthree")])
def test_no_more_than_so_many_last_bytes_come(paths: JobPaths, tail: int, expected: str) -> None:
    paths.log.write_text("one\nthree")
    assert follow(most=8, tail=tail)[0] == expected
    assert follow(most=99)[0] == "one\nthree"


def running() -> JobStatus:
    return JobStatus(RUNNING, worker=processes.identity(os.getpid()))


def test_with_wait_the_log_is_followed_to_its_end(paths: JobPaths) -> None:
    running().to_file(paths.status)
    letters = "日本語の記録\n".encode() * 3

    def job() -> None:
        with open(paths.log, "ab", buffering=0) as file:
            for index in range(len(letters)):
                file.write(letters[index : index + 1])
                time.sleep(0.004)
        JobStatus(FINISHED, exit_code=0).to_file(paths.status)

    worker = threading.Thread(target=job)
    worker.start()
    text, sent, last = follow(wait=True)
    worker.join()
    assert text == letters.decode() and len(sent) > 3
    assert last.status == JobStatus(FINISHED, exit_code=0)


def test_the_tail_of_a_running_job_goes_on_with_what_comes(paths: JobPaths) -> None:
    running().to_file(paths.status)
    paths.log.write_text("old\nlast\n")

    def job() -> None:
        time.sleep(0.2)
        with open(paths.log, "a") as file:
            file.write("new\n")
        write_json(paths.status, {"state": FINISHED})

    worker = threading.Thread(target=job)
    worker.start()
    text, _, _ = follow(wait=True, tail=1)
    worker.join()
    assert text == "last\nnew\n"


def test_what_is_written_just_before_the_end_is_not_lost(paths: JobPaths) -> None:
    for _ in range(10):
        running().to_file(paths.status)
        paths.log.write_text("")

        def job() -> None:
            paths.log.write_text("the last word")
            write_json(paths.status, {"state": FINISHED})

        worker = threading.Timer(0.03, job)
        worker.start()
        assert follow(wait=True)[0] == "the last word"
        worker.join()


def test_a_silent_job_gives_signs_of_life(paths: JobPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    """They show a client's death to the agent, and a dead connection to the client."""
    monkeypatch.setattr(live, "HEARTBEAT", 0.1)
    running().to_file(paths.status)
    end = threading.Timer(0.5, lambda: write_json(paths.status, {"state": FINISHED}))
    end.start()
    text, sent, _ = follow(wait=True)
    end.join()
    assert text == "" and len(sent) >= 2 and {answer.offset for answer in sent} == {0}


LAST = AttachRequest(key=KEY, job="last")


def test_the_launcher_of_the_job_says_how(root: Path, elsewhere: Elsewhere) -> None:
    add_elsewhere(root, state=RUNNING)
    assert attach(LAST) == AttachAnswer(IDS[0], ("attach", IDS[0]))


def test_a_job_of_an_older_version_is_in_tmux(root: Path) -> None:
    add(root, state=RUNNING, worker=processes.identity(os.getpid()))
    assert attach(LAST).argv[:3] == ("tmux", "-L", "remote")


def test_a_terminal_that_the_server_does_not_know_is_taken_for_one_it_knows(
    root: Path, elsewhere: Elsewhere
) -> None:
    add_elsewhere(root, state=RUNNING)
    # In this order: once Python's curses has found one, it looks for no other.
    for terminal, words in (("xterm-of-2099", ("env", "TERM=xterm-256color")), ("xterm", ())):
        answer = attach(LAST.replace(terminal=terminal))
        assert answer.argv == (*words, "attach", IDS[0])
        assert AttachAnswer.from_json(answer.to_json(), "answer") == answer


def test_a_job_that_has_ended_has_no_terminal(root: Path) -> None:
    add(root, state=FINISHED)
    with pytest.raises(JobError, match="has ended: finished"):
        attach(LAST)


def test_a_job_that_is_just_starting_has_none_yet(root: Path) -> None:
    add(root)
    with pytest.raises(JobError, match="just starting"):
        attach(LAST)


def test_a_job_in_a_users_own_terminal_has_no_session(root: Path) -> None:
    paths = add(root, state=RUNNING, worker=processes.identity(os.getpid()))
    write_json(paths.job, {**(read_json(paths.job) or {}), "interpreter": "/usr/bin/python3"})
    with pytest.raises(JobError, match="runs in a terminal of the server itself"):
        attach(LAST)
