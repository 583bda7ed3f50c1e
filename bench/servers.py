"""Twenty servers against one, and a sweep's jobs."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

from bench.pulls import fill
from bench.report import Row
from bench.scene import scene
from bench.stage import INV, Stage, make_project, timed
from bench.turns import Pairs, Side, Trial, alternate
from remote.config import Project
from remote.operations import sync
from remote.operations.jobs.run_options import RunOptions
from remote.operations.pool import ask_all, sessions
from remote.operations.tracking.merge_records import merging
from remote.transport.ssh import Ssh
from scripts.sshd import PrivateSshd, running

SERVERS, JOBS = 20, 50

#: Runs and metric points of each server's store.
RUNS, POINTS = 5, 100


def measure(stage: Stage) -> Iterator[Row]:
    """All over warm connections to real sshds, which share this machine's cores with the client."""
    count = stage.size(SERVERS)
    with _servers(stage, count) as (project, config):
        env = {"REMOTE_SSH_CONFIG": str(config)}

        def inv(task: str, target: str, expect: str) -> float:
            return timed([INV, task, "--target", target], cwd=project, env=env, expect=expect)

        pairs = alternate(
            lambda: inv("remote-ps", "all", ""),
            lambda: inv("remote-ps", "s1", ""),
            runs=stage.trials(11),
            warm_ups=2,
        )
        yield Row("ps of all", f"inv remote-ps of {count} servers / of one", 3, pairs)
        # The first one merges, the others find nothing new.
        inv("sync-pull", "all", "pulled from s1")
        merge = _merging(project, config)
        pairs = alternate(
            lambda: inv("sync-pull", "all", "pulled from s1") - (count - 1) * merge(),
            lambda: inv("sync-pull", "s1", "pulled from"),
            runs=stage.trials(7),
            warm_ups=0,
        )
        what = f"inv sync-pull of {count} servers with nothing new, without the merges of all but"
        yield Row("pull of all", f"{what} one / of one", 4, pairs)
    yield _sweep(stage)


def _merging(project: Path, config: Path) -> Trial:
    """Merges what one server has sent, which is nothing new."""
    found = Project(project, {"REMOTE_SSH_CONFIG": str(config)})
    server = sessions(found, "all")[0]

    def merge() -> float:
        with merging(found) as folder:
            fetched = sync.fetch(server, folder, "unused", dry_run=False, registry=False)
            began = time.perf_counter()
            sync.merge(fetched, folder, dry_run=False, registry=False, theirs=False)
            return time.perf_counter() - began

    return merge


@contextlib.contextmanager
def _servers(stage: Stage, count: int) -> Iterator[tuple[Path, Path]]:
    """A project with so many targets, `s1` and on, that were logged in to; its ssh_config."""
    folder = stage.folder / "servers"
    project = make_project(folder / "project")
    names = [f"s{number}" for number in range(1, count + 1)]
    dirs = "".join(f"{name} = {json.dumps(f'{name}:{name}')}\n" for name in names)
    with open(project / "pyproject.toml", "a") as file:
        file.write(f"\n[tool.remote.targets]\n{dirs}")
    config, made = folder / "ssh_config", []
    with contextlib.ExitStack() as stack:
        for name in names:
            server = PrivateSshd(folder / name, folder / name / "home")
            made.append(stack.enter_context(running(server)))
        texts = (each.config.read_text().replace("gpu", name) for name, each in zip(names, made))
        config.write_text("".join(texts))
        found = Project(project, {"REMOTE_SSH_CONFIG": str(config)})
        servers = sessions(found, "all")
        replies = ask_all(servers, lambda server: server.prepare(), limit=None)
        for reply in replies:
            if reply.error:
                raise reply.error
        for name, each in zip(names, made):
            fill(each.home / name / "mlflow.db", name, RUNS, POINTS)
        fill(project / "mlflow.db", "here", 1, 1)
        try:
            yield project, config
        finally:
            for name in names:
                Ssh(name, str(config)).close()


def _sweep(stage: Stage) -> Row:
    count, seconds = stage.size(JOBS), list[float]()
    with scene(stage, "sweep") as jobs:
        jobs.inv("proj", "remote-run", "--follow", "--gpus", "0", "--", "true")
        blocker = jobs.submit(jobs.session("proj"), RunOptions(gpus=0), "sleep", "600")
        values = ",".join(map(str, range(count)))
        for _ in range(stage.trials(3)):
            words = ("--gpus", "0", "--after", blocker, "--", "true", values)
            seconds.append(jobs.timed("proj", "remote-sweep", *words) / count)
    what = f"each of a sweep's {count} jobs (inv remote-sweep, over a warm connection) / one second"
    return Row("sweep", what, 0.15, Pairs(Side(seconds), Side([1.0])))
