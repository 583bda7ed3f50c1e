"""The exception that ended a program: as Python, and as IPython, really write it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from remote.agent.worker.attempt import outcome
from remote.agent.worker.last_error import LONGEST, last_error


def written_by(code: str, folder: Path) -> bytes:
    (folder / "main.py").write_text(code)
    ended = subprocess.run(
        [sys.executable, "main.py"], cwd=folder, stderr=subprocess.STDOUT, stdout=subprocess.PIPE
    )
    assert ended.returncode == 1
    return ended.stdout


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise ValueError('my own failure')", "ValueError: my own failure"),
        ("def f():\n    assert False\nf()", "AssertionError"),
        ("import nothing_such", "ModuleNotFoundError: No module named 'nothing_such'"),
        ("try:\n    1 / 0\nexcept ZeroDivisionError:\n    {}['a']", "KeyError: 'a'"),
        (
            "import json.decoder\nraise json.decoder.JSONDecodeError('bad', '', 0)",
            "json.decoder.JSONDecodeError: bad: line 1 column 1 (char 0)",
        ),
        ("raise ValueError('one\\ntwo')", "ValueError: one"),
        (
            "import sys\nprint('late')\nraise OSError(2, 'no é')",
            "FileNotFoundError: [Errno 2] no é",
        ),
        ("x = = 1", "SyntaxError: invalid syntax"),
        ("import sys\nprint('Error: said and left')\nsys.exit(1)", ""),
    ],
)
def test_an_exception_that_nobody_caught_is_the_cause(code: str, said: str, tmp_path: Path) -> None:
    log = b"epoch 1\n" + written_by(code, tmp_path)
    assert last_error(log) == said
    assert outcome(1, log=log, kills=0).cause == (said or "exit code 1")


def test_the_cell_of_a_notebook_is_named() -> None:
    log = (
        b"In cell [4]:\n" + b"-" * 75 + b"\n"
        b"ValueError                                Traceback (most recent call last)\n"
        b"Cell In[4], line 3\n      1 def f():\n----> 3     raise ValueError('my own failure')\n"
        b"File ~/src/x.py:3, in g()\n\nValueError: my own failure\n"
    )
    assert last_error(log) == "ValueError: my own failure (cell 4)"


def test_a_program_that_chose_its_exit_code_did_not_end_by_what_it_had_logged() -> None:
    log = b"Traceback (most recent call last):\n  File x\nValueError: handled\n"
    assert outcome(3, log=log, kills=0).cause == "exit code 3"


def test_a_message_without_end_is_cut() -> None:
    log = b"Traceback (most recent call last):\nValueError: " + b"x" * 5000 + b"\n"
    said = last_error(log)
    assert len(said) == LONGEST and said.endswith("...")
