"""What watching a job costs it: the same work with the worker's samples and curves, and without."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench.report import Row
from bench.stage import Stage
from bench.turns import alternate
from remote.agent.tracking import run_rows
from remote.agent.worker.curves import Curves
from remote.agent.worker.usage import GpuUsage, ProcessUsage
from remote.tracking.empty_store import ensure_store

#: So much work in each second that it is to take, about.
ROUNDS = 80
WORK = """\
import sys
kept = bytearray(200_000_000)
for _ in range(int(sys.argv[1])):
    sum(number * number for number in range(200_000))
"""


def measure(stage: Stage) -> Iterator[Row]:
    """From the start of the program to the last point in the store."""
    seconds = stage.size(60)
    folder = stage.folder / "sampling"
    folder.mkdir()
    store = folder / "mlflow.db"
    ensure_store(store, folder / "mlruns")
    pairs = alternate(
        lambda: watched(seconds, store),
        lambda: work(seconds),
        runs=stage.trials(3),
        warm_ups=0,
    )
    what = f"work of about {seconds} s in a process, watched as a job is, with its curves / the same alone"
    yield Row("sampling", what, 1.01, pairs)


def work(seconds: int) -> float:
    """How long the work takes."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", WORK, str(ROUNDS * seconds)], check=True)
    return time.perf_counter() - begun


def watched(seconds: int, store: Path) -> float:
    """The same, with all that a worker does meanwhile."""
    run_id = os.urandom(16).hex()
    tags = {"mlflow.runName": "bench", "mlflow.user": "bench"}
    run = run_rows.begin(store, experiment="bench", run_id=run_id, tags=tags, start_ms=1)
    begun = time.perf_counter()
    gpus = GpuUsage(())
    curves = Curves(store, run, gpus)
    with gpus, ProcessUsage(curves.look):
        work(seconds)
    curves.write()
    return time.perf_counter() - begun
