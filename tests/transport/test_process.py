"""Starting processes: argv lists, whole output, no shell."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from remote.errors import ConfigError
from remote.transport import process
from tests.conftest import ROOT


def python(code: str, *words: str) -> list[str]:
    return [sys.executable, "-c", code, *words]


def test_output_code_and_errors_come_back() -> None:
    code = "import sys; print('日本'); sys.stderr.write('no\\n'); sys.exit(3)"
    argv = python(f"# -*- coding: utf-8 -*-\n{code}")
    result = process.run(argv, env={**os.environ, "PYTHONUTF8": "1"})
    assert (result.code, result.stdout.decode(), result.stderr) == (3, "日本\n", "no\n")
    assert result.argv == tuple(argv)


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


def test_pieces_come_as_they_are_written() -> None:
    code = "import time; print('a', flush=True); time.sleep(0.5); print('b', flush=True)"
    times: list[float] = []
    process.feed(python(code), lambda piece: times.append(time.monotonic()))
    assert times[-1] - times[0] > 0.3


def test_a_child_left_behind_does_not_hold_us_up() -> None:
    """As an ssh master does: it keeps standard error, and its parent ends."""
    code = (
        "import subprocess; p = subprocess.Popen(['sleep', '20'], stdout=subprocess.DEVNULL);"
        " print(p.pid)"
    )
    start = time.monotonic()
    result = process.run(python(code))
    os.kill(int(result.stdout), signal.SIGKILL)
    assert time.monotonic() - start < 10


def test_a_reader_that_fails_ends_the_process() -> None:
    def fail(piece: bytes) -> None:
        pids.append(int(piece))
        raise KeyError("stop")

    pids: list[int] = []
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    start = time.monotonic()
    with pytest.raises(KeyError):
        process.feed(python(code), fail)
    assert time.monotonic() - start < 10
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


CTRL_C = f"""
import os, signal, sys, threading, time
sys.path.insert(0, {str(ROOT)!r})
from remote import process
script = "import os, time; os.write(1, str(os.getpid()).encode()); time.sleep(60)"
child = [sys.executable, "-c", script]
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


def test_ctrl_c_ends_the_process() -> None:
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", CTRL_C], capture_output=True, text=True)
    assert done.stdout.strip().isdigit(), done.stderr
    assert time.monotonic() - start < 20
    deadline = time.monotonic() + 5
    with pytest.raises(ProcessLookupError):
        while time.monotonic() < deadline:
            os.kill(int(done.stdout), 0)
            time.sleep(0.02)


def test_a_program_that_is_there_is_found() -> None:
    assert process.program("sh", "no hint").endswith("/sh")


def test_a_missing_program_is_named_with_its_remedy() -> None:
    with pytest.raises(ConfigError) as caught:
        process.program("no-such-program", "Install it.")
    assert "no-such-program is not installed" in caught.value.message
    assert caught.value.hint == "Install it."
