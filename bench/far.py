"""How many round trips commands take over a long way: what the way adds to them, against one of it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.delay import quality
from bench.push import longer_way
from bench.report import Row
from bench.scene import Scene, scene
from bench.stage import Stage, timed
from bench.turns import Pairs, Side, Trial, alternate
from remote.operations.jobs.run_options import RunOptions
from remote.transport.ssh import Ssh
from scripts.sshd import ALIAS

#: Milliseconds each way: a round trip of 50 and of 200.
NEAR, FAR = 25.0, 100.0

TARGET = "far"

RESULTS = 1000


def measure(stage: Stage) -> Iterator[Row]:
    """All over a warm connection; Python's start isn't counted, which takes no round trip."""
    with scene(stage, "far") as jobs:
        jobs.inv(TARGET, "remote-run", "--follow", "--", "true")
        _add_results(jobs.server.home / TARGET / "data" / "results", stage.size(RESULTS))
        for one_way in (NEAR, FAR):
            config = stage.folder / "far" / f"config-{one_way:.0f}"
            with longer_way(jobs.server, config, one_way) as far:
                yield from Way(stage, jobs, far, one_way).rows()


class Way:
    """A long way to the server of a scene, beside the short one."""

    def __init__(self, stage: Stage, jobs: Scene, far: Path, one_way: float) -> None:
        self.stage, self.jobs, self.far, self.one_way = stage, jobs, far, one_way
        self.near = jobs.server.config
        self.round_trip = quality(one_way).round_trip - quality(0).round_trip

    def rows(self) -> Iterator[Row]:
        """The limit first: what ssh takes for nothing."""
        yield self._row("ssh", "ssh host true", self._ssh, 2.1)
        pull = f"inv sync-pull with nothing new of {self.stage.size(RESULTS)} results"
        # The second finds nothing, and from the third on no rsync is asked.
        yield self._row("pull", pull, self._inv("sync-pull"), 6, warm_ups=2)
        if self.one_way == FAR:
            yield self._row("ps", "inv remote-ps", self._inv("remote-ps"), 2.1)
            logs = self._inv("remote-logs", "last")
            yield self._row("logs", "inv remote-logs last", logs, 2.1)
            yield self._row("submit", "a job submitted", self._submitting(), 3.1)

    def _row(
        self, name: str, what: str, trial: Callable[[Path], float], bar: float, warm_ups: int = 1
    ) -> Row:
        ways: list[Trial] = [functools.partial(trial, config) for config in (self.far, self.near)]
        both = alternate(*ways, runs=self.stage.trials(7), warm_ups=warm_ups)
        added = [a - b for a, b in zip(both.ours.trials, both.theirs.trials, strict=True)]
        pairs = Pairs(Side(added), Side([self.round_trip]))
        milliseconds = round(2 * self.one_way)
        told = f"what {milliseconds} ms of round trip add to {what} over a warm connection"
        return Row(f"{name} +{milliseconds} ms", f"{told} / one such round trip", bar, pairs)

    def _ssh(self, config: Path) -> float:
        return timed(Ssh(ALIAS, str(config)).command("true"))

    def _inv(self, *words: str) -> Callable[[Path], float]:
        return lambda config: self.jobs.timed(TARGET, *words, config=config)

    def _submitting(self) -> Callable[[Path], float]:
        """Jobs that wait for one that runs, as in the measurement of many."""
        servers = {config: self.jobs.session(TARGET, config) for config in (self.near, self.far)}
        blocker = self.jobs.submit(servers[self.near], RunOptions(gpus=0), "sleep", "600")
        options = RunOptions(gpus=0, after=blocker)
        return lambda config: self.jobs.submitted(servers[config], options, "true")


def _add_results(folder: Path, count: int) -> None:
    for number in range(count):
        path = folder / f"{number % 20:02}" / f"{number:04}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("1,2\n")
