"""Starting processes: argv lists, whole output, no shell."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from remote.errors import ConfigError
from remote.transport import process
from remote.transport.process import Result
from tests.conftest import ROOT
from tests.waiting import until


def python(code: str, *words: str) -> list[str]:
    return [sys.executable, "-c", code, *words]


def test_output_code_and_errors_come_back() -> None:
    code = "import sys; print('日本'); sys.stderr.write('no\\n'); sys.exit(3)"
    argv = python(f"# -*- coding: utf-8 -*-\n{code}")
    result = process.run(argv, env={**os.environ, "PYTHONUTF8": "1"})
    assert (result.code, result.stdout.decode(), result.stderr) == (3, "日本\n", "no\n")


#: Says its pid, and leaves a file should it ever end by itself.
LONG = """
import os, sys, time
os.write(1, str(os.getpid()).encode())
time.sleep(60)
open(sys.argv[1], "w")
"""


@pytest.mark.parametrize("word", ["$(touch pwned)", "a b", "'", '"', ";", "\n", "", "*", "日本"])
def test_words_arrive_as_they_are(tmp_path: Path, word: str) -> None:
    show = "import sys; sys.stdout.buffer.write(sys.argv[1].encode())"
    assert process.run(python(show, word), cwd=tmp_path).stdout.decode() == word
    assert not (tmp_path / "pwned").exists()


def test_standard_input_is_given_whole() -> None:
    data = os.urandom(3_000_000)
    copy = "import sys, shutil; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)"
    assert process.run(python(copy), stdin=data).stdout == data


def test_without_input_there_is_its_end() -> None:
    assert process.run(python("import sys; print(repr(sys.stdin.read()))")).stdout == b"''\n"


def test_many_errors_do_not_block() -> None:
    code = "import sys; sys.stderr.write('x' * 1_000_000); print('done')"
    result = process.run(python(code))
    assert result.stdout == b"done\n" and len(result.stderr) == 1_000_000


def test_bytes_that_are_no_text_in_errors_are_no_bug() -> None:
    result = process.run(python("import sys; sys.stderr.buffer.write(b'\\xff!')"))
    assert result.stderr.endswith("!")


def test_the_folder_and_the_environment_are_the_given_ones(tmp_path: Path) -> None:
    code = "import os; print(os.getcwd(), os.environ['X'])"
    result = process.run(python(code), cwd=tmp_path, env={**os.environ, "X": "1"})
    assert result.stdout.decode() == f"{tmp_path.resolve()} 1\n"


def test_pieces_come_as_they_are_written(tmp_path: Path) -> None:
    read = tmp_path / "read"
    code = (
        "import os, sys, time; print('a', flush=True)\n"
        "while not os.path.exists(sys.argv[1]): time.sleep(0.02)\n"
        "print('b')"
    )
    pieces: list[bytes] = []

    def note(piece: bytes) -> None:
        pieces.append(piece)
        read.touch()

    # Held back until the end, the first piece would be waited for without one.
    process.feed(python(code, str(read)), note)
    assert b"".join(pieces) == b"a\nb\n"


LEAVE_A_CHILD = """
import subprocess, sys
child = subprocess.Popen(["sh", "-c", "echo $$ > $1; sleep 60; touch $2", "sh", *sys.argv[1:]]{})
"""


@pytest.mark.parametrize(
    ("run", "streams"),
    [(process.run, ", stdout=subprocess.DEVNULL"), (process.run_parent, "")],
)
def test_a_child_left_behind_does_not_hold_us_up(
    tmp_path: Path, run: Callable[[list[str]], Result], streams: str
) -> None:
    """As an ssh master does: it keeps the streams that it was given, and its parent ends."""
    pid, ended = tmp_path / "pid", tmp_path / "ended"
    assert run(python(LEAVE_A_CHILD.format(streams), str(pid), str(ended))).code == 0
    os.kill(int(until(lambda: pid.exists() and pid.read_text())), signal.SIGKILL)
    assert not ended.exists()


def test_a_reader_that_fails_ends_the_process(tmp_path: Path) -> None:
    def fail(piece: bytes) -> None:
        pids.append(int(piece))
        raise KeyError("stop")

    pids: list[int] = []
    ended = tmp_path / "ended"
    with pytest.raises(KeyError):
        process.feed(python(LONG, str(ended)), fail)
    assert not ended.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


CTRL_C = f"""
import os, signal, sys, threading, time
sys.path.insert(0, {str(ROOT)!r})
from remote.transport import process
child = [sys.executable, "-c", {LONG!r}, sys.argv[1]]
pids = []
def note(piece):
    pids.append(int(piece))
    # Later, since Python itself can miss a signal that comes just before it begins to wait.
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    process.feed(child, note)
except KeyboardInterrupt:
    print(*pids)
"""


def test_ctrl_c_ends_the_process(tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    done = subprocess.run(python(CTRL_C, str(ended)), capture_output=True, text=True)
    assert done.stdout.strip().isdigit(), done.stderr
    with pytest.raises(ProcessLookupError):
        os.kill(int(done.stdout), 0)
    assert not ended.exists()


def test_what_a_program_complains_of_is_its_last_line() -> None:
    result = process.run(python("import sys; sys.exit('first\\nlast\\n')"))
    assert (result.complaint, result.code) == ("last", 1)
    assert process.run(python("pass")).complaint == "no message"
    assert process.last_line(" \n", "nothing") == "nothing"


BECOME = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from remote.transport import process
print("before")
script = "import os; print(os.getcwd(), dict(os.environ).get('A'))"
process.become([sys.executable, "-c", script], env={{"A": "b"}}, cwd=Path(sys.argv[1]))
"""


def test_another_program_takes_our_place(tmp_path: Path) -> None:
    done = process.run(python(BECOME, str(tmp_path)))
    assert done.stdout.decode().split() == ["before", str(tmp_path), "b"], done.stderr


def test_a_program_that_can_not_take_our_place_is_named() -> None:
    with pytest.raises(ConfigError, match="no-such-program can't be started") as caught:
        process.become(["no-such-program"], hint="EDITOR names it.")
    assert caught.value.hint == "EDITOR names it."


def test_a_started_process_is_the_callers() -> None:
    with process.start(["cat"], stdin=process.PIPE, stdout=process.PIPE, apart=True) as started:
        assert os.getsid(started.pid) == started.pid
        assert started.communicate(b"x") == (b"x", None)


def test_a_program_that_is_there_is_found() -> None:
    assert process.program("sh", "no hint").endswith("/sh")


def test_a_missing_program_is_named_with_its_remedy() -> None:
    with pytest.raises(ConfigError) as caught:
        process.program("no-such-program", "Install it.")
    assert "no-such-program is not installed" in caught.value.message
    assert caught.value.hint == "Install it."
