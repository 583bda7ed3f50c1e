"""`inv diary` and `inv format` as they are typed."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from datetime import date
from pathlib import Path

import pytest
from invoke.context import Context
from invoke.exceptions import Exit

from remote import __version__
from remote.tasks import project
from tests.conftest import INV


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "it's a 日記 project"
    folder.mkdir()
    (folder / "tasks.py").write_text("from remote.tasks import namespace\n")
    return folder


def inv(root: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(INV), *words],
        cwd=root,
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_path_of_the_page_is_printed(root: Path) -> None:
    done = inv(root, "diary")
    name = f"diary/{date.today().isoformat()}.md"
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{name}\n", "")
    assert (root / name).is_file()


def test_a_store_that_is_none_is_told(root: Path) -> None:
    (root / "mlflow.db").write_text("no database, but long enough to be taken for one " * 9)
    done = inv(root, "diary")
    assert done.returncode == 2 and "mlflow.db can't be read" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_editor_gets_the_page(root: Path, tmp_path: Path) -> None:
    editor = tmp_path / "my editor"
    editor.write_text('#!/bin/sh\nprintf "%s|" "$@" >"$SEEN"\n')
    editor.chmod(0o755)
    named = {"EDITOR": f"'{editor}' --wait", "VISUAL": "", "SEEN": str(tmp_path / "seen")}
    assert inv(root, "diary", "--edit", **named).returncode == 0
    path = root / f"diary/{date.today().isoformat()}.md"
    assert (tmp_path / "seen").read_text() == f"--wait|{path}|"


@pytest.mark.parametrize(
    ("editor", "told"), [("", "is not set"), ("'", "can't be read"), ("/no/such", "can't be start")]
)
def test_an_editor_that_is_none_is_told(root: Path, editor: str, told: str) -> None:
    done = inv(root, "diary", "--edit", EDITOR=editor, VISUAL="")
    assert done.returncode == 2 and told in done.stderr and "Traceback" not in done.stderr


def test_all_of_the_projects_own_code_is_formatted_and_nothing_else(root: Path) -> None:
    untidy, tidy = (
        "import sys\nimport os\nx = { 'a':1 }\n",
        'import os\nimport sys\n\nx = {"a": 1}\n',
    )
    own = ("top.py", "mypkg/a.py", "notebooks_x/deep/b.py")
    others = (
        "env/lib/c.py",
        "data/raw/d.py",
        "outputs/e.py",
        ".remote/jobs/f/code/g.py",
        "built/h.py",
    )
    for name in (*own, *others):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(untidy)
    (root / "env/pyvenv.cfg").touch()
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "outputs": [], "execution_count": None}
    notebook = {"cells": [{**cell, "source": "x = { 'a':1 }"}], "metadata": {}}
    for name in ("notebooks_x/n.ipynb", "built/n.ipynb"):
        (root / name).write_text(json.dumps({**notebook, "nbformat": 4, "nbformat_minor": 5}))
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    (root / ".gitignore").write_text("built/\n")
    assert inv(root, "format").returncode == 0
    assert {name: (root / name).read_text() for name in own} == dict.fromkeys(own, tidy)
    assert {(root / name).read_text() for name in others} == {untidy}
    sources = [
        json.loads((root / name).read_text())["cells"][0]["source"]
        for name in ("notebooks_x/n.ipynb", "built/n.ipynb")
    ]
    assert ["".join(source) for source in sources] == ['x = {"a": 1}', "x = { 'a':1 }"]


def test_inv_alone_tells_the_version_and_the_first_steps(root: Path) -> None:
    done = inv(root)
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and lines[0].startswith(f"remote-gpu-workflow {__version__}, ")
    assert "inv doctor" in lines[2] and inv(root, "version").stdout == done.stdout


@pytest.mark.parametrize("port", ["99999", "taken"])
def test_a_port_that_can_not_be_had_is_told(root: Path, port: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        typed = str(taken.getsockname()[1]) if port == "taken" else port
        done = inv(root, "ui", "--port", typed)
    assert done.returncode == 2 and f"--port {typed}: " in done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""


def test_a_folder_without_code_has_nothing_to_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Exit, match="has no Python code to format.\nGo to"):
        project.format_code(Context())
