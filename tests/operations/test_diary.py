"""A page of the diary: made once, with the runs of a real MLflow store since the last one."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from datetime import date, datetime
from pathlib import Path

import pytest

from remote.agent.tracking import run_rows
from remote.errors import ConfigError, StoreError
from remote.operations import diary
from tests.stores import empty_store

TEMPLATE = "# {date}\n\nTried:\n\n{runs}\n\nBraces stay: {x} {}\n"
TODAY = date(2026, 3, 14)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store that the real MLflow made."""
    return empty_store(tmp_path_factory.mktemp("store"))


@pytest.fixture
def root(tmp_path: Path, store: Path) -> Path:
    folder = tmp_path / "it's a 日記 project"
    (folder / "diary").mkdir(parents=True)
    (folder / "diary/template.md").write_text(TEMPLATE)
    shutil.copy(store, folder / "mlflow.db")
    return folder


def run(root: Path, name: str, *, days_ago: int = 0, hour: int = 9, **tags: str) -> str:
    """A finished run in the project's store, which began in the morning; its id."""
    begun = datetime(TODAY.year, TODAY.month, TODAY.day - days_ago, hour, 30)
    start = int(begun.timestamp() * 1000)
    made = run_rows.begin(
        root / "mlflow.db",
        experiment="digits",
        run_id=os.urandom(16).hex(),
        tags={"mlflow.runName": name, "mlflow.user": "ada", **tags},
        start_ms=start,
    )
    run_rows.close(root / "mlflow.db", made.run_id, status="FINISHED", end_ms=start + 1)
    return made.run_id


def page(root: Path) -> str:
    path = diary.entry(root, TODAY)
    assert path == root / "diary/2026-03-14.md"
    return path.read_text("utf-8")


def rows(text: str) -> list[list[str]]:
    """The cells of the table's lines, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("| ") and "---" not in line]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def test_a_page_is_made_once(root: Path) -> None:
    run(root, "first")
    text = page(root)
    assert text.startswith("# 2026-03-14\n") and text.endswith("{x} {}\n")
    assert "first" in text
    (root / "diary/2026-03-14.md").write_text("what I wrote")
    run(root, "second")
    assert page(root) == "what I wrote"


def test_it_lists_todays_runs_with_their_metrics(root: Path) -> None:
    run(root, "yesterday's", days_ago=1, hour=23)
    sweep = run(root, "a|b\nsweep", hour=0)
    run(root, "trial", **{"mlflow.parentRunId": sweep})
    for name, value in (("system/cpu", 1.0), ("loss", 0.12345), ("accuracy", 0.9), ("z", 1)):
        run_rows.add_metric(root / "mlflow.db", sweep, name, value, 1)
    run_rows.add_metric(root / "mlflow.db", sweep, "b", float("nan"), 1)
    assert rows(page(root)) == [
        [
            "03-14 00:30",
            "a/b sweep",
            "digits",
            "FINISHED",
            "accuracy 0.9, loss 0.1235, z 1, 1 below it",
        ]
    ]


def test_a_name_that_a_server_gave_is_a_name_alone(root: Path) -> None:
    run(root, "<img src=x> ![x](http://evil.example/x) `a` \x1b[2J\u202e" + "x" * 9000)
    with contextlib.closing(sqlite3.connect(root / "mlflow.db")) as database, database:
        database.execute("UPDATE runs SET start_time = 9223372036854775807")
    ((begun, name, *_),) = rows(page(root))
    assert begun == "" and len(name) < 600
    assert name.startswith(r"\<img src=x> !\[x](http://evil.example/x) \`a\` \\x1b\[2J\\u202exxx")


def test_it_lists_what_began_since_the_last_page(root: Path) -> None:
    for name in ("2026-03-12", "2999-01-01", "2026-99-99"):
        (root / f"diary/{name}.md").write_text("")
    for days in (3, 2, 1):
        run(root, f"run {days}", days_ago=days)
    assert [cells[1] for cells in rows(page(root))] == ["run 2", "run 1"]


def test_only_the_newest_are_listed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diary, "RUNS", 2)
    for days in (3, 2, 1):
        run(root, f"run {days}", days_ago=days)
    (root / "diary/2020-01-01.md").write_text("")
    text = page(root)
    assert [cells[1] for cells in rows(text)] == ["run 2", "run 1"]
    assert "More runs began since 2020-01-01." in text


def test_without_store_or_template_the_page_is_plain(root: Path) -> None:
    shutil.rmtree(root / "diary")
    (root / "mlflow.db").unlink()
    assert page(root) == "# 2026-03-14\n\nNo run began since 2026-03-14.\n"


def test_a_store_that_is_none_leaves_no_page(root: Path) -> None:
    (root / "mlflow.db").write_text("no database, but long enough to be taken for one " * 9)
    with pytest.raises(StoreError, match="mlflow.db can't be read") as told:
        page(root)
    assert "inv mlflow-check" in told.value.hint
    assert not list((root / "diary").glob("2*.md"))


def test_a_template_that_is_no_text_leaves_no_page(root: Path) -> None:
    (root / "diary/template.md").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"template\.md can't be read") as told:
        page(root)
    assert told.value.hint == "It has to be plain UTF-8 text."
    assert not list((root / "diary").glob("2*.md"))
