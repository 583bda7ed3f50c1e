"""`inv mlflow-check` from end to end: lines, JSON, exit codes."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import INV, ROOT
from tests.stores import empty_store

TASKS = "from remote.tasks import namespace\n"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    return empty_store(folder)


@pytest.fixture
def root(tmp_path: Path, template: Path) -> Path:
    """A project that was moved here: its one experiment says that it lies elsewhere."""
    folder = tmp_path / "my project"
    folder.mkdir()
    (folder / "tasks.py").write_text(TASKS)
    shutil.copy(template, folder / "mlflow.db")
    say(folder, "/old/project/mlruns/0")
    return folder


def say(root: Path, location: str) -> None:
    with closing(sqlite3.connect(root / "mlflow.db")) as database, database:
        database.execute("UPDATE experiments SET artifact_location = ?", (location,))


def inv(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(INV), "mlflow-check", *words],
        cwd=root,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_found_mended_and_sound(root: Path) -> None:
    done = inv(root)
    assert done.returncode == 1 and done.stderr == f"1 problem in {root}/mlflow.db.\n"
    problem, step = done.stdout.splitlines()
    assert problem.startswith("wrong   paths: 1 path leads to /old/project")
    assert ": experiment 0: /old/project/mlruns/0 -> " in problem
    assert step == "        next: inv mlflow-check --mend"
    done = inv(root, "--mend")
    copy, mended, sound = done.stdout.splitlines()
    assert copy.startswith("copy of the old store: ") and mended.startswith("fixed   paths: ")
    assert sound == f"{root}/mlflow.db is sound."
    assert (done.returncode, done.stderr) == (0, "")
    for words in ((), ("--mend",)):
        done = inv(root, *words)
        assert (done.returncode, done.stdout) == (0, f"{sound}\n")


@pytest.mark.parametrize(
    "form",
    [
        "{0}/mlflow.db",
        "{0}",
        "sqlite:///{0}/mlflow.db",
        "sqlite+pysqlite:///{0}/mlflow.db?timeout=1",
    ],
)
def test_another_store(root: Path, tmp_path: Path, form: str) -> None:
    here = tmp_path / "here"
    here.mkdir()
    (here / "tasks.py").write_text(TASKS)
    store = form.format(root)
    done = inv(here, store)
    assert done.returncode == 1 and "1 path leads to /old/project" in done.stdout
    assert inv(here, store, "--mend").returncode == 0
    with closing(sqlite3.connect(root / "mlflow.db")) as database:
        (location,) = database.execute("SELECT artifact_location FROM experiments").fetchone()
    # A store's own folder is its project.
    assert location == f"{root}/mlruns/0"
    assert not (here / ".remote").exists()


def test_the_step_can_be_typed_as_it_stands(root: Path) -> None:
    done = inv(root, "../my project")
    assert "next: inv mlflow-check '../my project' --mend" in done.stdout


def test_a_step_before_mending(root: Path) -> None:
    say(root, "/usr/bin")
    done = inv(root)
    assert "; then inv mlflow-check --mend" in done.stdout
    assert inv(root, "--mend").returncode == 1 and not list(root.glob("*before*"))


def test_json(root: Path) -> None:
    done = inv(root, "--json")
    told = json.loads(done.stdout)
    (finding,) = told["findings"]
    assert finding["mendable"] and done.returncode == 1
    assert told["error"]["message"] == f"1 problem in {told['store']}." and done.stderr
    assert finding["items"] == [f"experiment 0: /old/project/mlruns/0 -> {root}/mlruns/0"]
    told = json.loads(inv(root, "--mend", "--json").stdout)
    assert told["error"] is None and told["findings"] == [] and len(told["mended"]) == 1
    assert Path(told["backup"]).exists()


def test_what_can_not_be_checked(root: Path) -> None:
    (root / "empty").mkdir()
    for store in (
        "postgresql://host/db",
        "mysql+pymysql://u@h/db",
        "http://h:5000",
        "gone.db",
        "empty",
    ):
        done = inv(root, store)
        assert done.returncode == 2 and done.stdout == "", store
        assert len(done.stderr.splitlines()) == 2 and "Traceback" not in done.stderr
    assert "Only SQLite files are checked" in inv(root, "postgresql://host/db").stderr


def test_what_a_record_says_does_not_steer_the_terminal(root: Path) -> None:
    say(root, "/x\x1b[2J\nwrong   all is well")
    done = inv(root)
    assert "\x1b" not in done.stdout and len(done.stdout.splitlines()) == 2


def test_nothing_heavy_is_imported(root: Path) -> None:
    code = "import sys, remote.tasks.records; print(*sorted(sys.modules))"
    # Coverage, where it measures, brings sqlite3 along.
    env = {name: os.environ[name] for name in os.environ if not name.startswith("COVERAGE")}
    argv = [sys.executable, "-c", code]
    loaded = subprocess.check_output(argv, cwd=ROOT, env=env, text=True).split()
    assert not {
        "mlflow",
        "fabric",
        "paramiko",
        "remote.operations.tracking.check_store",
        "sqlite3",
    } & set(loaded)
