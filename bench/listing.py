"""`inv --list`, against bare Invoke."""

from __future__ import annotations

from collections.abc import Iterator

from bench.report import Row
from bench.stage import INV, Stage, make_project, timed
from bench.turns import alternate

TRIVIAL = """\
from invoke import task


@task
def nothing(c):
    pass
"""


def measure(stage: Stage) -> Iterator[Row]:
    """The same `inv`, in two folders."""
    ours = make_project(stage.folder / "list" / "ours")
    theirs = stage.folder / "list" / "theirs"
    theirs.mkdir()
    (theirs / "tasks.py").write_text(TRIVIAL)
    pairs = alternate(
        lambda: timed([INV, "--list"], cwd=ours, expect="remote-run"),
        lambda: timed([INV, "--list"], cwd=theirs, expect="nothing"),
        runs=stage.trials(21),
        warm_ups=2,
    )
    yield Row(
        "list", "inv --list with our tasks.py / with a tasks.py of one empty task", 1.5, pairs
    )
