"""What a pull costs where little or nothing is new, in a store of twenty thousand runs and twenty million
metric rows."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.pulls import Memory, fill, make_target, pull, require
from bench.report import Row
from bench.stage import Stage
from bench.turns import Pairs, Side, alternate

RUNS, POINTS = 20_000, 1000
FRACTION = 100
EXPERIMENT = "growing"


def measure(stage: Stage) -> Iterator[Row]:
    """Each pull is a new process, and another for the agent."""
    folder, runs, memory = stage.folder / "growth", stage.size(RUNS), Memory()
    large = _scene(folder / "large", runs, memory)
    first = Side([large.pull(runs)])
    grown = Side([large.grow() for _ in range(stage.trials(5))])
    size = f"of {runs * POINTS} metric rows"
    what = f"a pull of one new run of {POINTS} metric rows from a store {size} / its first pull"
    yield Row("grown", what, 1 / 20, Pairs(grown, first))
    small = _scene(folder / "small", max(runs // FRACTION, 1), memory)
    small.pull(small.runs)
    pairs = alternate(lambda: large.pull(0), lambda: small.pull(0), runs=stage.trials(9))
    what = f"a pull with nothing new from a store {size} / from one of {small.runs * POINTS}"
    yield Row("unchanged", what, 2, pairs)
    yield from memory.rows("growth", f"over all pulls from stores {size} and fewer")
    shutil.rmtree(folder)


def _scene(folder: Path, runs: int, memory: Memory) -> Scene:
    there = fill(folder / "there" / "mlflow.db", EXPERIMENT, runs, POINTS)
    here = fill(folder / "here" / "mlflow.db", "others", 0, 0)
    make_target(there.parent)
    return Scene(there, here, runs, memory)


@dataclass
class Scene:
    """A store there of so many runs, and ours here."""

    there: Path
    here: Path
    runs: int
    memory: Memory

    def pull(self, new: int) -> float:
        """Seconds of a pull that brings so many new runs."""
        return pull(self.there.parent, self.here, self.memory, metric_rows=new * POINTS)

    def grow(self) -> float:
        """One more run there; seconds of the pull that brings it."""
        fill(self.there, EXPERIMENT, 1, POINTS)
        seconds = self.pull(1)
        require(self.here, self.there)
        return seconds
