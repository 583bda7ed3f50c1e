"""A look of the dashboard, against the commands that tell the same."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from bench.report import Row
from bench.scene import scene
from bench.stage import Failed, Stage
from bench.turns import Trial, alternate
from remote.job.messages.gpus import GpusRequest
from remote.job.messages.jobs import JobsRequest
from remote.operations.jobs.run_options import RunOptions
from remote.operations.watched_servers import NEWEST, WatchedServers
from remote.session import TargetSession

#: A machine with a card, told by a program that takes no time of its own.
NVIDIA_SMI = """\
#!/bin/sh
case "$1" in
--query-gpu=*) echo "0, GPU-00000000-1111-4222-8333-000000000000, 81920, 4, 0, 550.54.15, NVIDIA A100" ;;
esac
"""


def measure(stage: Stage) -> Iterator[Row]:
    """All over a warm connection."""
    programs = stage.folder / "top programs"
    path = f"{_programs(programs)}:/usr/local/bin:/usr/bin:/bin"
    with scene(stage, "top", path=path) as jobs:
        jobs.inv("proj", "remote-run", "--follow", "--gpus", "0", "--", "true")
        server = jobs.session("proj")
        jobs.submit(server, RunOptions(gpus=0), "sleep", "600")
        look = _looking(WatchedServers([server]))
        pairs = alternate(
            look,
            lambda: jobs.timed("proj", "remote-ps", expect="running"),
            runs=stage.trials(21),
            warm_ups=2,
        )
        what = "a look of remote-top that is open (jobs, GPUs and their queue) / inv remote-ps"
        yield Row("top", what, 1.2, pairs)
        pairs = alternate(look, lambda: _ask_twice(server), runs=stage.trials(21), warm_ups=2)
        what = "the same / the requests of remote-ps and remote-gpus, without their start"
        yield Row("top request", what, 1.0, pairs)


def _looking(watched: WatchedServers) -> Trial:
    """Looks at one server, which must tell of its GPU."""
    [server] = watched.servers

    def look() -> float:
        began = time.perf_counter()
        watched.look(lambda: None, everybody=True)
        seconds = time.perf_counter() - began
        answer = watched.replies[server.key].answer
        if not answer or not answer.gpus or len(answer.gpus.gpus) != 1:
            raise Failed(f"a look told of no GPU: {watched.replies[server.key].words}")
        return seconds

    return look


def _ask_twice(server: TargetSession) -> float:
    began = time.perf_counter()
    server.agent.call(JobsRequest(key=server.key, newest=NEWEST))
    server.agent.call(GpusRequest(key=server.key))
    return time.perf_counter() - began


def _programs(folder: Path) -> Path:
    folder.mkdir()
    program = folder / "nvidia-smi"
    program.write_text(NVIDIA_SMI)
    program.chmod(0o755)
    return folder
