"""Pulls of records, timed, and the memory that they took."""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from bench.report import Row
from bench.stage import ROOT, Failed, run
from bench.turns import Pairs, Side
from remote.config import Project
from remote.session import TargetSession
from remote.target import Target

#: What neither the agent nor the client should exceed, however large the stores.
MEMORY = 300  # MB

_CONTENT = """
SELECT (SELECT count(*) FROM runs), (SELECT count(*) FROM params),
    (SELECT count(*) FROM latest_metrics), count(*), total(step), total(timestamp % 1000000),
    total(CAST(value * 1000000 AS INTEGER))
FROM metrics
"""


@dataclass
class Memory:
    """The most that the pulls of a measurement took, in MB."""

    agent: list[float] = field(default_factory=list)
    client: list[float] = field(default_factory=list)

    def rows(self, name: str, what: str) -> Iterator[Row]:
        """The agent's and the client's, against the bar."""
        for side, found in (("agent", self.agent), ("client", self.client)):
            pairs = Pairs(Side([max(found)]), Side([float(MEMORY)]))
            told = f"the most memory that the {side} took, {what} / {MEMORY} MB"
            yield Row(f"{name}-{side}", told, 1, pairs, unit="MB")


def pull(source: Path, store: Path, memory: Memory, *, metric_rows: int, folder: str = "") -> float:
    """Seconds of a pull into `store`, which must bring so many metric rows.

    `source` is a target; its own store is pulled, or the file store in one of its folders.
    """
    argv = [sys.executable, "-m", "bench.client", str(store.parent), str(source), folder]
    start = time.perf_counter()
    said = run(argv, cwd=ROOT)
    seconds = time.perf_counter() - start
    found = json.loads(said)
    if found["metric_rows"] != metric_rows:
        raise Failed(f"{found['metric_rows']} of {metric_rows} metric points were new in {store}")
    memory.agent.append(found["agent"])
    memory.client.append(found["client"])
    return seconds


def make_target(folder: Path) -> None:
    """Have the agent make the folder a target."""
    project = Project(folder, {})
    TargetSession.of(project, Target.parse(str(folder))).prepare(take_over=True)


def require(store: Path, *sources: Path) -> None:
    """Whoever was fast has to have done it all: the store holds what all the sources hold."""
    wanted = tuple(sum(column) for column in zip(*map(_content, sources)))
    found = _content(store)
    if found != wanted:
        raise Failed(f"(runs, params, metrics …) are {found} in {store}, not {wanted}")


def _content(store: Path) -> tuple[float, ...]:
    """Numbers that add up where stores are put together, whatever their ids."""
    with closing(sqlite3.connect(store)) as database:
        return tuple(database.execute(_CONTENT).fetchone())


def fill(store: Path, experiment: str, runs: int, points: int) -> Path:
    """Add runs to a store, which is made if missing."""
    store.parent.mkdir(parents=True, exist_ok=True)
    words = [str(store), experiment, str(runs), str(points)]
    run([sys.executable, "-m", "bench.stores", *words], cwd=ROOT)
    return store
