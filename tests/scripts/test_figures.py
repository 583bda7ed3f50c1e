"""The figures of a small tree that was counted by hand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scripts import figures
from tests.conftest import ROOT

CODE = '''"""A file of eleven lines."""  # one
# two
from typing import Any, Mapping


def f(x: dict[str, Any], y: Mapping[str, Any]) -> str:
    import os

    from sys import path
    def g(): import os; return os
    return "# no comment"
'''


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in {
        "remote/__init__.py": "",
        "remote/a/base.py": CODE,
        "remote/b/base.py": "x = 1\n",
        "tests/test_a.py": "def test_a(): ...\nclass T:\n    def test_b(self): ...\ndef helper(): ...\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_what_is_counted(tree: Path) -> None:
    assert dict(figures.figures(tree)) == {
        "files": "3",
        "lines": "12",
        "median file": "1 lines",
        "longest file": "11 lines, remote/a/base.py",
        "functions": "2",
        "median function": "4 lines",
        "longest function": "6 lines, remote/a/base.py:f",
        "file names used twice": "1: base.py",
        "dict[str, Any]": "2",
        "imports inside functions": "3",
        "comment lines": "2 (16.7 %)",
        "test functions": "2",
    }


def test_it_needs_nothing_but_python(tree: Path) -> None:
    script = ROOT / "scripts/figures.py"
    argv = [sys.executable, "-I", "-S", str(script), str(tree)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert "longest file              11 lines, remote/a/base.py\n" in done.stdout
