"""A target that was moved on its server, with the records of its jobs."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from scripts.sshd import PrivateSshd
from tests.conftest import ProjectFolder
from tests.tracking.merge.conftest import Project

pytestmark = pytest.mark.timeout(300)

#: A job without an environment of its own would wait for one to be made.
LOCK = (
    "six==1.17.0 --hash=sha256:4721f391ed90541fddacab5acf947aa0d3dc7d27b2e1e8eda2be8970586c3274\n"
)

HELLO = """#!/bin/sh
'''exec' "{python}" "$0" "$@"
' '''
print("hello")
"""


def sql(folder: Path, query: str, *values: object) -> list[Any]:
    with closing(sqlite3.connect(folder / "mlflow.db", timeout=60)) as database, database:
        return database.execute(query, values).fetchall()


def paths_in(folder: Path) -> set[str]:
    runs = sql(folder, "SELECT artifact_uri FROM runs")
    return {path for (path,) in [*runs, *sql(folder, "SELECT artifact_location FROM experiments")]}


def with_run(store: Project, experiment: str, text: str) -> str:
    """A finished run with an artifact."""
    run = store.run(experiment)
    folder = store.mlruns / experiment / run / "artifacts"
    folder.mkdir(parents=True)
    (folder / "note.txt").write_text(text)
    return run


def test_a_target_that_was_moved_is_pulled_as_if_it_had_been_there_always(
    project: ProjectFolder, sshd: PrivateSshd, target_root: Path, template: Path
) -> None:
    (project.root / "requirements.lock").write_text(LOCK)
    project.inv("sync-push")
    Project(project.root, template)
    far = Project(target_root, template)
    experiment = far.experiment("digits")
    runs = [with_run(far, experiment, f"note {number}") for number in range(3)]
    assert "3 new runs" in project.inv("sync-pull").out
    # What was done here since is ours, and stays.
    renamed, deleted, untouched = runs
    sql(project.root, "UPDATE runs SET name = 'mine' WHERE run_uuid = ?", renamed)
    for table in ("latest_metrics", "metrics", "params", "tags", "runs"):
        sql(project.root, f"DELETE FROM {table} WHERE run_uuid = ?", deleted)

    # A job's environment, with a program as installers write them.
    project.inv("remote-setup")
    (python,) = target_root.glob(".remote/envs/*/bin/python")
    program = python.with_name("hello")
    program.write_text(HELLO.format(python=python))
    program.chmod(0o755)

    moved = target_root.with_name(f"{target_root.name} moved")
    target_root.rename(moved)
    project.env["TARGET_DIR"] += " moved"
    job = project.inv("remote-run", "--follow", "--", "hello")
    assert "\nhello\n" in job.out, job.out
    assert f"led to {target_root}, and lead to {moved} now" in job.out
    assert not target_root.exists(), "nothing is written to the old place"
    assert all(path.startswith(f"{moved}/mlruns/") for path in paths_in(moved))

    said = project.inv("sync-pull")
    assert "1 new run," in said.out and "conflict" not in said.out, said.text
    assert "refused" not in said.err and "kept yours" not in said.err
    assert sql(project.root, "SELECT name FROM runs WHERE run_uuid = ?", renamed) == [("mine",)]
    here = {run for (run,) in sql(project.root, "SELECT run_uuid FROM runs")}
    assert here >= {renamed, untouched} and deleted not in here and len(here) == 3
    (new,) = here - set(runs)
    (account,) = project.root.glob(f"mlruns/*/{new}/artifacts/remote/job.json")
    assert json.loads(account.read_text())["root"] == str(moved)
    bases = list((project.root / ".remote/targets").glob("*.base.db"))
    assert len(bases) == 1, "the base of before is that of now"
    before = (project.root / "mlflow.db").read_bytes()
    assert "0 new runs, 0 grown, 0 artifacts" in project.inv("sync-pull").out
    assert (project.root / "mlflow.db").read_bytes() == before


def test_a_copy_of_a_target_goes_its_own_way(
    project: ProjectFolder, target_root: Path, template: Path
) -> None:
    project.inv("sync-push")
    Project(project.root, template)
    far = Project(target_root, template)
    run = with_run(far, far.experiment("digits"), "note")
    project.inv("sync-pull")
    copy = target_root.with_name(f"{target_root.name}-copy")
    shutil.copytree(target_root, copy, symlinks=True)
    # Since then, the first one went on.
    sql(target_root, "UPDATE runs SET name = 'later' WHERE run_uuid = ?", run)
    project.inv("sync-pull")
    said = project.inv("sync-pull", "--target", f"{project.env['TARGET_DIR']}-copy")
    assert "0 new runs" in said.out and "lead to" in said.err
    assert sql(project.root, "SELECT name FROM runs WHERE run_uuid = ?", run) == [("later",)]
    assert len(list((project.root / ".remote/targets").glob("*.base.db"))) == 2
    assert all(path.startswith(f"{target_root}/") for path in paths_in(target_root))
