"""Merging records, against mlflow-export-import."""

from __future__ import annotations

import shutil
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

from bench import exporter
from bench.report import Row
from bench.stage import ROOT, Failed, Skipped, Stage, run, timed
from bench.turns import around

RUNS, POINTS = 100, 1000  # metric points of each run
OTHERS, OTHER_POINTS = 50, 20
EXPERIMENT = "pulled"
BAR = 1 / 50


def measure(stage: Stage) -> Iterator[Row]:
    """Both merge the same runs into copies of the same store."""
    runs = stage.size(RUNS)
    what = f"the records of {runs} runs ({runs * POINTS} metric points, no artifacts) into a store"
    what += f" of {OTHERS} others; delta and merge in a new process /"
    what += " export-experiment and import-experiment into a running mlflow server"
    what += f" ({exporter.PACKAGES[0]}, MLflow {version('mlflow')})"
    try:
        exporter.install()
    except Skipped as reason:
        yield Row("merge", f"{what}; skipped: {reason}", BAR)
        return
    folder = stage.folder / "merge"
    _fill(folder / "there" / "mlflow.db", EXPERIMENT, runs, POINTS)
    _fill(folder / "here" / "mlflow.db", "others", OTHERS, OTHER_POINTS)
    pairs = around(lambda: _ours(folder, runs), lambda: _theirs(folder, runs), runs=stage.trials(5))
    yield Row("merge", what, BAR, pairs)


def _fill(store: Path, experiment: str, runs: int, points: int) -> None:
    store.parent.mkdir(parents=True)
    words = [str(store), experiment, str(runs), str(points)]
    run([sys.executable, "-m", "bench.stores", *words], cwd=ROOT)


def _ours(folder: Path, runs: int) -> float:
    store = _fresh(folder)
    argv = [sys.executable, "-m", "bench.records", str(folder / "there" / "mlflow.db"), str(store)]
    seconds = timed(argv, cwd=ROOT)
    _require(store, runs)
    return seconds


def _theirs(folder: Path, runs: int) -> float:
    store = _fresh(folder)
    there = folder / "there" / "mlflow.db"
    seconds = exporter.transfer(there, store, EXPERIMENT, store.parent / "exported")
    _require(store, runs)
    return seconds


def _fresh(folder: Path) -> Path:
    """A copy of the store with the other runs, in a folder of its own."""
    place = folder / f"trial-{time.monotonic_ns()}"
    place.mkdir()
    return Path(shutil.copy(folder / "here" / "mlflow.db", place / "mlflow.db"))


def _require(store: Path, runs: int) -> None:
    """Whoever was fast has to have done it all."""
    wanted = (OTHERS + runs, OTHERS * OTHER_POINTS + runs * POINTS)
    with closing(sqlite3.connect(store)) as database:
        found = database.execute(
            "SELECT (SELECT count(*) FROM runs), (SELECT count(*) FROM metrics)"
        ).fetchone()
    if tuple(found) != wanted:
        raise Failed(f"(runs, metric points) are {found} in {store}, not {wanted}")
