from __future__ import annotations

import json
import re
from typing import Any

import pytest

from remote.adopt.dependencies import JOBS, LOCK, of_url, source
from remote.adopt.imports import imported_packages
from tests.adopt.conftest import Existing
from tests.conftest import ROOT

ALL = "'papermill>=2.7' 'ipykernel>=6.29' 'mlflow>=3.17'"
PIP = "python -m pip install 'remote-gpu-workflow>=0.1.0'"
GROUPED = LOCK.format(group=" --group dev")
PROJECT = '[project]\nname = "a"\nversion = "1"\ndependencies = ["torch"]\n'


@pytest.mark.parametrize(
    ("files", "steps"),
    [
        (
            {"pyproject.toml": PROJECT, "uv.lock": ""},
            [f"uv add --group dev {ALL}", "uv add --group remote 'remote-gpu-workflow>=0.1.0'"],
        ),
        (
            {"pyproject.toml": '[tool.poetry.dependencies]\nmlflow = "^3.17"\n'},
            [
                "poetry add --lock --group dev 'papermill>=2.7' 'ipykernel>=6.29'",
                f"poetry run {PIP}",
            ],
        ),
        (
            {"pyproject.toml": PROJECT, "poetry.lock": ""},
            [f"poetry add --lock --group dev {ALL}", f"poetry run {PIP}"],
        ),
        ({"pyproject.toml": PROJECT}, [f"uv add --frozen --group dev {ALL}", GROUPED, PIP]),
        (
            {"pyproject.toml": PROJECT, "pylock.toml": ""},
            [
                f"uv add --frozen --group dev {ALL}",
                "uv pip compile --universal --group dev pyproject.toml -o pylock.toml",
                PIP,
            ],
        ),
        (
            {
                "pyproject.toml": PROJECT.replace(
                    "torch", 'mlflow[extras]", "ipykernel", "Papermill'
                )
            },
            [LOCK.format(group=""), PIP],
        ),
        (
            {"requirements.txt": "torch\nMLflow[extras]==2.1  # old\n# papermill\n"},
            ["add to requirements.txt: papermill>=2.7 ipykernel>=6.29", PIP],
        ),
        ({"requirements.txt": "\n".join(JOBS)}, [PIP]),
        (
            {"requirements.txt": "mlflow-skinny==3 --hash=sha256:00\n"},
            [
                "add to what requirements.txt is made from, and make it anew:"
                " papermill>=2.7 ipykernel>=6.29 mlflow>=3.17",
                PIP,
            ],
        ),
        (
            {"requirements.in": "papermill\nipykernel\n", "requirements.txt": "torch==2\n"},
            ["add to what requirements.txt is made from, and make it anew: mlflow>=3.17", PIP],
        ),
        ({".venv/pyvenv.cfg": "home = /usr/bin\nuv = 0.9\n"}, [PIP.replace("python -m", "uv")]),
        ({}, [PIP]),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, dict) else "",
)
def test_the_projects_own_tool_is_named(
    existing: Existing, files: dict[str, str], steps: list[str]
) -> None:
    for name, text in files.items():
        existing.write(name, text)
    assert existing.plan().steps[:-2] == steps
    changed = [change.name for change in existing.plan().changes]
    assert not set(changed) & set(files), "what is there is its tool's to change"


@pytest.mark.parametrize(
    ("line", "is_raised"),
    [
        ('requires-python = ">=3.8"', True),
        ('requires-python = "<4,>=3.9.1"', True),
        ('requires-python=">=3"', True),
        ('python = "^3.8"', True),
        ('python = "~3.9"', True),
        ('requires-python = ">= 3.10"', False),
        ('requires-python = ">=3.12,<3.14"', False),
        ('python = "^3.11"', False),
        ('target = "python = 3.8"', False),
        ('pythonpath = "3.8"', False),
    ],
)
def test_a_python_that_mlflow_does_not_have_is_raised_first(
    line: str, is_raised: bool, existing: Existing
) -> None:
    existing.write("pyproject.toml", f"{PROJECT}{line}\n")
    first = existing.plan().steps[0]
    assert first.startswith("change in pyproject.toml: ") == is_raised
    assert not is_raised or first.endswith(' = ">=3.10" (MLflow needs it)')


def test_what_the_group_dev_holds_is_locked_too(existing: Existing) -> None:
    group = '[dependency-groups]\nlint = ["ruff"]\ndev = ["papermill", "ipykernel", "mlflow"]\n'
    existing.write("pyproject.toml", PROJECT + group)
    assert existing.plan().steps[0] == GROUPED
    existing.write("pyproject.toml", (PROJECT + group).replace("\n", "\r\n"))
    assert existing.plan().steps[0] == GROUPED


def test_a_list_of_windows_is_read_as_any(existing: Existing) -> None:
    existing.write("requirements.txt", "\ufeffmlflow\r\npapermill\r\nipykernel\r\n")
    assert not any(step.startswith("add to") for step in existing.plan().steps)


def test_the_list_of_a_folder_is_taken_in(existing: Existing) -> None:
    existing.write("src/requirements.txt", "torch\n")
    assert existing.after("requirements.txt").splitlines()[-1] == "-r src/requirements.txt"
    assert any("now with it src/requirements.txt" in note for note in existing.plan().notes)


@pytest.mark.parametrize("name", ["conda.yaml", "environment.yml", "setup.py", "Pipfile"])
def test_a_list_that_jobs_do_not_read_is_named(name: str, existing: Existing) -> None:
    existing.write(name, "")
    assert any(f"imports, as {name} has it" in note for note in existing.plan().notes)


def test_what_the_code_imports_is_named(existing: Existing) -> None:
    existing.write("train.py", "import os, torch\nfrom model.net import Net\nfrom . import x\n")
    existing.write("model/net.py", "import numpy as np\nimport sklearn.svm\n")
    cells = [{"cell_type": "code", "source": ["%matplotlib inline\n", "import pandas"]}]
    existing.write("look.ipynb", json.dumps({"cells": cells}))
    existing.write("broken.py", "import (")
    assert imported_packages(existing.root) == ["numpy", "pandas", "sklearn", "torch"]
    note = "add there what your code imports. It imports: numpy pandas sklearn torch"
    assert any(text.endswith(note) for text in existing.plan().notes)


def test_a_project_that_lists_its_dependencies_nowhere_gets_a_list(existing: Existing) -> None:
    existing.write("environment.yml", "dependencies: [torch]\n")
    assert existing.after("requirements.txt").splitlines()[1:] == list(JOBS)
    assert any("add there what your code imports" in note for note in existing.plan().notes)


def test_what_can_not_be_read_is_told(existing: Existing) -> None:
    existing.write("pyproject.toml", "").write_bytes(b"\xff\xfe")
    plan = existing.plan()
    assert any("pyproject.toml can't be read" in note for note in plan.notes)
    assert "tasks.py" in [change.name for change in plan.changes]


def test_what_jobs_need_is_what_the_toolkit_asks_for() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    asked = dict(re.findall(r'^    "([a-z]+)(>=[^",]+)', text, re.MULTILINE))
    for requirement in JOBS:
        name = requirement.partition(">")[0]
        assert requirement == name + asked.get(name, requirement.removeprefix(name))


@pytest.mark.parametrize(
    ("origin", "requirement"),
    [
        (
            {
                "url": "https://token@example.com/a/b.git",
                "vcs_info": {"vcs": "git", "commit_id": "abc"},
            },
            "remote-gpu-workflow @ git+https://example.com/a/b.git@abc",
        ),
        (
            {
                "url": "ssh://git@example.com/b",
                "vcs_info": {"vcs": "git", "commit_id": "abc", "requested_revision": "v1"},
                "subdirectory": "c",
            },
            "remote-gpu-workflow @ git+ssh://git@example.com/b@v1#subdirectory=c",
        ),
        (
            {"url": "https://example.com/x.whl", "archive_info": {}},
            "remote-gpu-workflow @ https://example.com/x.whl",
        ),
    ],
)
def test_the_project_gets_the_toolkit_from_where_it_came(
    origin: dict[str, Any], requirement: str
) -> None:
    assert of_url(origin) == requirement


def test_a_clone_is_installed_as_it_lies_there() -> None:
    assert source() == ("--editable", str(ROOT))
