"""Which program is meant by what was typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from remote.errors import JobError, NotebookError, RemoteError
from remote.programs.program import find

NOTEBOOK = {"nbformat": 4, "metadata": {}, "cells": []}
FILES = {
    "src/notebooks/train.ipynb": json.dumps(NOTEBOOK),
    "src/train.py": "print()",
    "src/pkg/__init__.py": "",
    "src/pkg/tool.py": "print()",
    "run.sh": "echo",
    "steps/MLproject": "name: steps\nentry_points:\n  main:\n    command: python a.py\n",
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "name, kind",
    [
        ("train.ipynb", "Notebook"),
        ("train", "Notebook"),
        ("src/train.py", "Script"),
        ("run.sh", "Script"),
        ("pkg.tool", "Script"),
        ("steps", "Project"),
    ],
)
def test_a_name_means(root: Path, name: str, kind: str) -> None:
    assert type(find(root, name)).__name__ == kind


def test_an_entry_point_is_an_mlprojects_alone(root: Path) -> None:
    assert find(root, "steps", "main")
    with pytest.raises(JobError, match=r"run\.sh is no MLproject"):
        find(root, "run.sh", "main")


def test_what_is_not_there_is_told_by_what_was_meant(root: Path) -> None:
    with pytest.raises(JobError, match="no script 'src/gone.py'"):
        find(root, "src/gone.py")
    with pytest.raises(NotebookError, match=r"gone\.ipynb"):
        find(root, "gone.ipynb")
    with pytest.raises(RemoteError, match="pkg.gone"):
        find(root, "pkg.gone")
