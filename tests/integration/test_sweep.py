"""A real Optuna sweep on a real server: killed half-way, run again, pulled."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from remote.agent.processes import descendants
from remote.files import read_json
from tests.conftest import ROOT, ProjectFolder
from tests.integration.witness import Store

pytestmark = pytest.mark.timeout(900)

SWEEP = ["src/model/model02/train.py", "--", "-m", "learning_rate=interval(0.001,0.1)"]
SWEEP += ["hydra.sweeper.n_trials=12"]


#: Takes and logs what the project's own does, and learns nothing.
TRAIN = """
import time
from pathlib import Path
import hydra, mlflow
CONFIG = Path(__file__).resolve().parents[3] / "config/model/model02"
@hydra.main(config_path=str(CONFIG), config_name="config")
def main(config):
    with mlflow.start_run():
        mlflow.log_params(dict(config))
        for epoch in range(config.epochs):
            mlflow.log_metric("accuracy", config.learning_rate * epoch, step=epoch)
            time.sleep(0.1)
    return config.learning_rate
if __name__ == "__main__":
    main()
"""


@pytest.fixture
def project(project: ProjectFolder) -> ProjectFolder:
    """One with the settings of the project's own sample."""
    shutil.copytree(ROOT / "config", project.root / "config")
    project.write("src/model/model02/train.py", TRAIN)
    return project


def states(study: Path) -> list[str]:
    """The states of all trials.

    Not read-only: what was killed while it wrote leaves a journal that has to be rolled back.
    """
    try:
        with contextlib.closing(sqlite3.connect(f"file:{study}?mode=rw", uri=True)) as database:
            return [state for (state,) in database.execute("SELECT state FROM trials")]
    except sqlite3.Error:
        return []


def test_a_sweep_survives_its_server(project: ProjectFolder, target_root: Path) -> None:
    study = target_root / "logs/optuna.db"
    first = project.inv("remote-run", *SWEEP).out.strip().splitlines()[-1]
    folder = target_root / ".remote/jobs" / first
    deadline = time.monotonic() + 300
    while states(study).count("COMPLETE") < 4:
        status = read_json(folder / "status.json") or {}
        assert status.get("state") in ("queued", "preparing", "running"), folder.joinpath(
            "log"
        ).read_text()
        assert time.monotonic() < deadline, states(study)
        time.sleep(0.1)
    # The power fails.
    worker = (read_json(folder / "status.json") or {})["worker"]["pid"]
    for pid in [worker, *descendants(worker)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    done = states(study).count("COMPLETE")
    assert 4 <= done < 12

    listed = project.inv("remote-ps").out
    assert "lost" in listed and "its worker is gone" in listed
    again = project.inv("remote-run", "--follow", *SWEEP)
    assert "12 trials" in again.out and "done before" in again.out
    assert states(study) == ["COMPLETE"] * 12

    project.inv("sync-pull")
    store = Store(project.root / "mlflow.db")
    runs = store.rows(
        "SELECT runs.run_uuid, status, tags.value FROM runs JOIN tags USING (run_uuid)"
        " WHERE tags.key = 'mlflow.parentRunId'"
    )
    assert len(runs) == 12 and {status for _, status, _ in runs} == {"FINISHED"}
    parents = store.rows(
        "SELECT run_uuid, status FROM runs WHERE run_uuid NOT IN"
        " (SELECT run_uuid FROM tags WHERE key = 'mlflow.parentRunId')"
    )
    assert sorted(status for _, status in parents) == ["FAILED", "FINISHED"]
    assert {parent for _, _, parent in runs} <= {run for run, _ in parents}
    rates = store.rows("SELECT value FROM params WHERE key = 'learning_rate'")
    assert len({float(rate) for (rate,) in rates if float(rate) != 0.01}) == 12
    histories = store.rows("SELECT COUNT(*) FROM metrics WHERE key = 'accuracy' GROUP BY run_uuid")
    assert len(histories) == 12 and min(count for (count,) in histories) == 4
    # Hydra's own folders came back too.
    assert list((project.root / "multirun").rglob("optimization_results.yaml"))

    # Once more: nothing is left to do, and nothing is done.
    third = project.inv("remote-run", "--follow", *SWEEP)
    assert "has its 12 trials" in third.out and len(states(study)) == 12


def test_a_single_run_has_its_overrides(project: ProjectFolder, target_root: Path) -> None:
    words = ["src/model/model02/train.py", "--", "epochs=2", "hidden=8"]
    project.inv("remote-run", "--follow", "--pull", "--tag", "who=me", *words)
    store = Store(project.root / "mlflow.db")
    [(run,)] = store.rows("SELECT run_uuid FROM runs WHERE status = 'FINISHED'")
    params = dict(store.rows("SELECT key, value FROM params WHERE run_uuid = ?", run))
    assert (params["epochs"], params["hidden"]) == ("2", "8")
    tags = dict(store.rows("SELECT key, value FROM tags WHERE run_uuid = ?", run))
    assert tags["who"] == "me" and tags["remote.source"] == "src/model/model02/train.py"
    assert list((project.root / "outputs").rglob(".hydra/config.yaml"))
    folder = next((project.root / "mlruns").glob(f"*/{run}/artifacts/remote"))
    assert {path.name for path in folder.iterdir()} >= {"log.txt", "job.json", "status.json"}


MLPROJECT = """\
name: steps
entry_points:
  main:
    parameters:
      epochs: {type: float, default: 2}
      note: {type: string, default: "it's"}
    command: "python main.py {epochs} {note}"
"""

MAIN = """\
import sys
import mlflow
with mlflow.start_run():
    mlflow.log_metric("epochs", float(sys.argv[1]))
    print("note", sys.argv[2])
"""


def test_an_mlproject(project: ProjectFolder, target_root: Path) -> None:
    project.write("pipelines/steps/MLproject", MLPROJECT)
    project.write("pipelines/steps/main.py", MAIN)
    done = project.inv("remote-run", "pipelines/steps", "--epochs", "3", "--follow", "--pull")
    assert "note it's" in done.out
    store = Store(project.root / "mlflow.db")
    [(run, status)] = store.rows("SELECT run_uuid, status FROM runs")
    assert status == "FINISHED"
    params = dict(store.rows("SELECT key, value FROM params WHERE run_uuid = ?", run))
    assert float(params["epochs"]) == 3 and params["note"] == "it's"
    wrong = project.inv("remote-run", "pipelines/steps", "--epoch", "3", check=False)
    assert wrong.code == 2 and "epochs" in wrong.err
