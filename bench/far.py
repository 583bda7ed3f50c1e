"""How many round trips commands take over a long way: what the way adds to them, against one of it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.delay import quality
from bench.many import Scene
from bench.push import longer_way
from bench.report import Row
from bench.stage import INV, Stage, make_project, timed
from bench.turns import Pairs, Side, Trial, alternate
from remote.config import Project
from remote.operations.jobs.run_options import RunOptions
from remote.session import TargetSession
from remote.target import Target
from remote.transport.ssh import Ssh
from scripts.sshd import ALIAS

#: Milliseconds each way: a round trip of 50 and of 200.
NEAR, FAR = 25.0, 100.0

TARGET = "far"

RESULTS = 1000


def measure(stage: Stage) -> Iterator[Row]:
    """All over a warm connection; Python's start isn't counted, which takes no round trip."""
    with stage.server("far") as server:
        project = make_project(stage.folder / "far" / "project")
        (project / "requirements.lock").write_text("")
        scene = Scene(project, server)
        try:
            scene.inv(TARGET, "remote-run", "--follow", "--", "true")
            _add_results(server.home / TARGET / "data" / "results", stage.size(RESULTS))
            for one_way in (NEAR, FAR):
                config = stage.folder / "far" / f"config-{one_way:.0f}"
                with longer_way(server, config, one_way) as far:
                    way = Way(stage, scene, server.config, far, one_way)
                    yield from way.rows()
        finally:
            scene.end()


class Way:
    """A long way to the server of a scene, beside the short one."""

    def __init__(self, stage: Stage, scene: Scene, near: Path, far: Path, one_way: float) -> None:
        self.stage, self.scene, self.near, self.far = stage, scene, near, far
        self.one_way = one_way
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
        project = self.scene.project

        def trial(config: Path) -> float:
            env = {"TARGET_DIR": f"{ALIAS}:{TARGET}", "REMOTE_SSH_CONFIG": str(config)}
            return timed([INV, *words], cwd=project, env={**self.scene.settings, **env})

        return trial

    def _submitting(self) -> Callable[[Path], float]:
        """Jobs that wait for one that runs, as in the measurement of many."""
        servers = {config: self._server(config) for config in (self.near, self.far)}
        blocker = self.scene.submit(servers[self.near], RunOptions(gpus=0), "sleep", "600")
        options = RunOptions(gpus=0, after=blocker)
        return lambda config: self.scene.submitted(servers[config], options, "true")

    def _server(self, config: Path) -> TargetSession:
        settings = {**self.scene.settings, "REMOTE_SSH_CONFIG": str(config)}
        project = Project(self.scene.project, settings)
        return TargetSession.of(project, Target.parse(f"{ALIAS}:{TARGET}"))


def _add_results(folder: Path, count: int) -> None:
    for number in range(count):
        path = folder / f"{number % 20:02}" / f"{number:04}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("1,2\n")
