"""What a pull costs where little or nothing is new, and where there are many runs, as stores grow."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.pulls import Memory, fill, make_target, pull, require
from bench.report import Row
from bench.stage import INV, Stage, make_project, timed
from bench.turns import Pairs, Side, alternate

RUNS, POINTS = 20_000, 1000
FRACTION = 100
MANY, FEW = 40_000, 5_000
FEW_POINTS = 2
EXPERIMENT = "growing"


def measure(stage: Stage) -> Iterator[Row]:
    """Each pull is a new process, and another for the agent."""
    memory = Memory()
    yield _first_pull(stage, stage.folder / "first")
    yield from _long(stage, stage.folder / "growth", memory)
    yield from _many(stage, stage.folder / "many-runs", memory)
    what = f"over all pulls from stores of {stage.size(RUNS) * POINTS} metric rows and fewer"
    yield from memory.rows("growth", f"{what}, or {stage.size(MANY)} runs")


def _first_pull(stage: Stage, folder: Path) -> Row:
    """A project's; the first trial, which isn't counted, has MLflow make a store on this machine."""
    there = fill(folder / "there" / "mlflow.db", EXPERIMENT, 10, 100)
    make_target(there.parent)

    def trial(*, with_store: bool) -> float:
        project = make_project(folder / "project")
        if with_store:
            fill(project / "mlflow.db", "others", 0, 0)
        env = {"TARGET_DIR": str(there.parent)}
        seconds = timed([INV, "sync-pull"], cwd=project, env=env, expect="10 new runs")
        shutil.rmtree(project)
        return seconds

    pairs = alternate(
        lambda: trial(with_store=False), lambda: trial(with_store=True), runs=stage.trials(9)
    )
    what = "a project's first inv sync-pull, of 10 runs, on a machine that has made a store before"
    return Row("first pull", f"{what} / the same with an empty store there", 1.3, pairs)


def _long(stage: Stage, folder: Path, memory: Memory) -> Iterator[Row]:
    """Stores of many metric rows."""
    runs = stage.size(RUNS)
    large = _scene(folder / "large", runs, POINTS, memory)
    first = Side([large.first()])
    grown = Side([large.grow() for _ in range(stage.trials(5))])
    size = f"of {runs * POINTS} metric rows"
    what = f"a pull of one new run of {POINTS} metric rows from a store {size} / its first pull"
    yield Row("grown", what, 1 / 50, Pairs(grown, first))
    small = _scene(folder / "small", max(runs // FRACTION, 1), POINTS, memory)
    small.first()
    pairs = alternate(lambda: large.pull(0), lambda: small.pull(0), runs=stage.trials(9))
    what = f"a pull with nothing new from a store {size} / from one of {small.runs * POINTS}"
    yield Row("unchanged", what, 1.5, pairs)
    shutil.rmtree(folder)


def _many(stage: Stage, folder: Path, memory: Memory) -> Iterator[Row]:
    """Stores of many runs, each of which has next to no metrics."""
    many = _scene(folder / "many", stage.size(MANY), FEW_POINTS, memory)
    few = _scene(folder / "few", stage.size(FEW), FEW_POINTS, memory)
    size = f"{many.runs} runs of {FEW_POINTS} metric rows"
    pairs = alternate(many.first, few.first, runs=stage.trials(3), warm_ups=0)
    yield Row("many runs", f"the first pull of {size} / of {few.runs}", 9, pairs)
    pairs = alternate(many.grow, few.grow, runs=stage.trials(5))
    what = f"a pull of one new run where {size} are there and here / where {few.runs} are"
    yield Row("one of many", what, 2, pairs)
    shutil.rmtree(folder)


def _scene(folder: Path, runs: int, points: int, memory: Memory) -> Scene:
    there = fill(folder / "there" / "mlflow.db", EXPERIMENT, runs, points)
    make_target(there.parent)
    return Scene(there, folder / "here" / "mlflow.db", runs, points, memory)


@dataclass
class Scene:
    """A store there of so many runs, and ours here."""

    there: Path
    here: Path
    runs: int
    points: int
    memory: Memory

    def pull(self, new: int) -> float:
        """Seconds of a pull that brings so many new runs."""
        return pull(self.there.parent, self.here, self.memory, metric_rows=new * self.points)

    def first(self) -> float:
        """Seconds of the pull that brings all, into an empty store."""
        shutil.rmtree(self.here.parent, ignore_errors=True)
        fill(self.here, "others", 0, 0)
        return self.pull(self.runs)

    def grow(self) -> float:
        """One more run there; seconds of the pull that brings it."""
        fill(self.there, EXPERIMENT, 1, self.points)
        seconds = self.pull(1)
        require(self.here, self.there)
        return seconds
