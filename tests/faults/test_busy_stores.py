"""Stores that many write to while they are pulled, shown and written to here."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ProjectFolder
from tests.real.ui import served
from tests.stores import empty_store

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif("config.option.rounds < 50", reason="minutes: make test-faults"),
]

#: MLflow is imported once; each of its children logs to a run of its own.
LOGGERS = """
import os, sys
import mlflow
mlflow.set_tracking_uri(os.environ["MLFLOW_TRACKING_URI"])
experiment = mlflow.set_experiment("many").experiment_id
def log(number):
    with mlflow.start_run(experiment_id=experiment, run_name=f"{sys.argv[1]} {number}"):
        for step in range(25):
            mlflow.log_metrics({f"m{i}": step + i / 7 for i in range(20)}, step=step)
        mlflow.log_text(f"{number}", "note.txt")
children = []
for number in range(int(sys.argv[2])):
    pid = os.fork()
    if pid == 0:
        try:
            log(number)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    children.append(pid)
codes = [os.waitpid(pid, 0)[1] for pid in children]
sys.exit(any(codes))
"""


def sql(folder: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(folder / "mlflow.db", timeout=60)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return database.execute(query).fetchall()


def test_sixteen_processes_log_while_two_at_once_pull_and_others_read_and_write_here(
    project: ProjectFolder, target_root: Path
) -> None:
    project.write("requirements.lock", "# nothing\n")
    project.write("src/loggers.py", LOGGERS)
    project.inv("sync-push")
    empty_store(target_root)
    here = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{project.root}/mlflow.db"}
    with served(project.root):
        training = subprocess.Popen(
            [sys.executable, "src/loggers.py", "here", "2"], cwd=project.root, env=here
        )
        words = ("remote-run", "--", sys.executable, "src/loggers.py", "there", "16")
        job = project.inv(*words).out
        for _ in range(5):
            pulls = [project.start("sync-pull") for _ in range(2)]
            for pull in pulls:
                out, err = pull.communicate(timeout=240)
                assert pull.returncode == 0, (out, err)
        waited = project.inv("remote-wait", "last", check=False)
        assert waited.code == 0, (job, project.inv("remote-logs", "last").out)
        assert training.wait(timeout=240) == 0
    project.inv("sync-pull")
    metrics = (
        "SELECT r.name, m.key, m.step, m.value, m.timestamp FROM metrics m"
        " JOIN runs r USING (run_uuid) WHERE r.name LIKE '{} %' AND m.key NOT LIKE 'system/%'"
        " ORDER BY 1, 2, 3, 4"
    )
    there = sql(target_root, metrics.format("there"))
    assert len(there) == 16 * 500 and sql(project.root, metrics.format("there")) == there
    assert len(sql(project.root, metrics.format("here"))) == 2 * 500
    assert [status for (status,) in sql(project.root, "SELECT DISTINCT status FROM runs")] == [
        "FINISHED"
    ]
    notes = sorted(path.read_text() for path in project.root.glob("mlruns/*/*/artifacts/note.txt"))
    assert notes == sorted([*map(str, range(16)), "0", "1"])
