"""Many jobs: what thousands that have ended cost the others, and how fast fifty are submitted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from bench.report import Row
from bench.scene import Scene, scene
from bench.stage import Stage
from bench.turns import Pairs, Side, Trial, alternate
from remote.operations.jobs.run_options import RunOptions

FEW, MANY = 10, 5000
SUBMITTED = 50


def measure(stage: Stage) -> Iterator[Row]:
    """All over a warm connection to a real sshd."""
    many = stage.size(MANY)
    with scene(stage, "many") as jobs:
        for target, count in (("few", FEW), ("many", many)):
            jobs.inv(target, "remote-run", "--follow", "--", "true")
            _multiply(jobs.server.home / target / ".remote" / "jobs", count)
        pairs = alternate(
            lambda: jobs.timed("many", "remote-ps", expect="finished"),
            lambda: jobs.timed("few", "remote-ps", expect="finished"),
            runs=stage.trials(15),
            warm_ups=2,
        )
        told = f"with {many} finished jobs / with {FEW}"
        yield Row("ps", f"inv remote-ps {told}", 1.3, pairs)
        submit = {target: _submitting(jobs, target) for target in ("few", "many")}
        pairs = alternate(submit["many"], submit["few"], runs=stage.trials(15), warm_ups=2)
        yield Row("submit of many", f"a job submitted {told}", 1.3, pairs)
        seconds = [submit["few"]() for _ in range(stage.size(SUBMITTED))]
        what = f"each of {len(seconds)} jobs submitted one after the other (frozen code, a worker"
        what += " that lives and waits in line) over a warm connection / one second"
        yield Row("submit", what, 0.15, Pairs(Side(seconds), Side([1.0])))


def _submitting(jobs: Scene, target: str) -> Trial:
    """Submits jobs that wait for one that runs."""
    server = jobs.session(target)
    blocker = jobs.submit(server, RunOptions(gpus=0), "sleep", "600")
    options = RunOptions(gpus=0, after=blocker)
    return lambda: jobs.submitted(server, options, "true")


def _multiply(folder: Path, count: int) -> None:
    """Copies of a real job's folder, as old jobs would lie there."""
    [made] = folder.iterdir()
    asked = json.loads((made / "job.json").read_text())
    for number in range(count - 1):
        name = f"20250101-{number:06d}-true-{number:04x}"
        copy = folder / name
        shutil.copytree(made, copy, symlinks=True, ignore=shutil.ignore_patterns("code"))
        (copy / "job.json").write_text(json.dumps({**asked, "id": name}))
