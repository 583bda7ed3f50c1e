"""`inv diary` from end to end: a page for today, with the runs of a real MLflow store."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from datetime import date, timedelta
from pathlib import Path

import pytest

from remote.agent.tracking import run_rows
from remote.operations import diary
from tests.conftest import INV
from tests.stores import empty_store

TASKS = "from remote.tasks import namespace\n"
TEMPLATE = "# {date}\n\nTried:\n\n{runs}\n\nBraces stay: {x} {}\n"
DAY = 24 * 3600 * 1000


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store that the real MLflow made."""
    folder = tmp_path_factory.mktemp("store")
    return empty_store(folder)


@pytest.fixture
def root(tmp_path: Path, store: Path) -> Path:
    folder = tmp_path / "it's a 日記 project"
    (folder / "diary").mkdir(parents=True)
    (folder / "tasks.py").write_text(TASKS)
    (folder / "diary/template.md").write_text(TEMPLATE)
    shutil.copy(store, folder / "mlflow.db")
    return folder


def run(root: Path, name: str, *, days_ago: int = 0, **tags: str) -> str:
    """A finished run in the project's store; its id."""
    start = int(time.time() * 1000) - days_ago * DAY
    made = run_rows.begin(
        root / "mlflow.db",
        experiment="digits",
        run_id=os.urandom(16).hex(),
        tags={"mlflow.runName": name, "mlflow.user": "ada", **tags},
        start_ms=start,
    )
    run_rows.close(root / "mlflow.db", made.run_id, status="FINISHED", end_ms=start + 1)
    return made.run_id


def inv(root: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(INV), "diary", *words],
        cwd=root,
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def page(root: Path, *words: str) -> str:
    """Today's page, made now."""
    done = inv(root, *words)
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout == f"diary/{date.today().isoformat()}.md\n"
    return (root / done.stdout.strip()).read_text("utf-8")


def rows(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("| ") and "---" not in line][1:]


def test_a_page_is_made_once(root: Path) -> None:
    run(root, "first")
    text = page(root)
    assert text.startswith(f"# {date.today().isoformat()}\n") and text.endswith("{x} {}\n")
    assert "first" in text
    path = root / f"diary/{date.today().isoformat()}.md"
    path.write_text("what I wrote")
    run(root, "second")
    assert page(root) == "what I wrote"


def test_it_lists_todays_runs_with_their_metrics(root: Path) -> None:
    run(root, "yesterday's", days_ago=1)
    sweep = run(root, "a|b\nsweep")
    run(root, "trial", **{"mlflow.parentRunId": sweep})
    for name, value in (("system/cpu", 1.0), ("loss", 0.12345), ("accuracy", 0.9), ("z", 1)):
        run_rows.add_metric(root / "mlflow.db", sweep, name, value, 1)
    run_rows.add_metric(root / "mlflow.db", sweep, "b", float("nan"), 1)
    [row] = rows(page(root))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1:4] == ["a/b sweep", "digits", "FINISHED"]
    assert cells[4] == "accuracy 0.9, loss 0.1235, z 1, 1 below it"


def test_it_lists_what_began_since_the_last_page(root: Path) -> None:
    last = date.today() - timedelta(days=2)
    for name in (last.isoformat(), "2999-01-01", "2026-99-99"):
        (root / f"diary/{name}.md").write_text("")
    for days in (3, 2, 1):
        run(root, f"run {days}", days_ago=days)
    assert [row.split("|")[2].strip() for row in rows(page(root))] == ["run 2", "run 1"]


def test_only_the_newest_are_listed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diary, "RUNS", 2)
    for days in (3, 2, 1):
        run(root, f"run {days}", days_ago=days)
    (root / "diary/2020-01-01.md").write_text("")
    text = diary.entry(root, date.today()).read_text("utf-8")
    assert [row.split("|")[2].strip() for row in rows(text)] == ["run 2", "run 1"]
    assert "More runs began since 2020-01-01." in text


def test_without_store_or_template(root: Path) -> None:
    shutil.rmtree(root / "diary")
    (root / "mlflow.db").unlink()
    today = date.today().isoformat()
    assert page(root) == f"# {today}\n\nNo run began since {today}.\n"


def test_a_store_that_is_none_is_told(root: Path) -> None:
    (root / "mlflow.db").write_text("no database, but long enough to be taken for one " * 9)
    done = inv(root)
    assert done.returncode == 2 and "mlflow.db can't be read" in done.stderr
    assert "Traceback" not in done.stderr and not list((root / "diary").glob("2*.md"))


def test_an_editor_gets_the_page(root: Path, tmp_path: Path) -> None:
    editor = tmp_path / "my editor"
    editor.write_text('#!/bin/sh\nprintf "%s|" "$@" >"$SEEN"\n')
    editor.chmod(0o755)
    named = {"EDITOR": f"'{editor}' --wait", "VISUAL": "", "SEEN": str(tmp_path / "seen")}
    assert inv(root, "--edit", **named).returncode == 0
    path = root / f"diary/{date.today().isoformat()}.md"
    assert (tmp_path / "seen").read_text() == f"--wait|{path}|"


@pytest.mark.parametrize(
    ("editor", "told"), [("", "is not set"), ("'", "can't be read"), ("/no/such", "can't be start")]
)
def test_an_editor_that_is_none_is_told(root: Path, editor: str, told: str) -> None:
    done = inv(root, "--edit", EDITOR=editor, VISUAL="")
    assert done.returncode == 2 and told in done.stderr and "Traceback" not in done.stderr
