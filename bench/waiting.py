"""What jobs that wait for GPUs cost, and how soon one of them has a GPU that gets free."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench.report import Row
from bench.scene import Scene, scene
from bench.stage import Failed, Stage
from bench.turns import Pairs, Side
from remote.agent.processes import alive
from remote.job.status import QUEUED, RUNNING, JobStatus
from remote.operations.jobs.run_options import RunOptions
from tests.fakegpu import FakeGpus

GPUS, WAITING = 4, 200
WATCH = 30  # seconds
TARGET = "waiting"

#: Percent of one core, MB, and seconds.
CPU_LIMIT, MEMORY_LIMIT, PATIENCE = 1.0, 15.0, 2.0

START_LIMIT = 60.0  # seconds


def measure(stage: Stage) -> Iterator[Row]:
    """Workers as `inv remote-run` starts them, on a server with a stand-in for nvidia-smi."""
    folder, count = stage.folder / TARGET, stage.size(WAITING)
    gpus, leases = FakeGpus(folder / "gpus", count=GPUS), folder / "leases"
    leases.mkdir()
    what = f"{count} jobs that wait for {GPUS} GPUs which others have"
    with scene(stage, TARGET, path=gpus.path(), leases=str(leases)) as jobs:
        jobs.inv(TARGET, "remote-run", "--gpus", "0", "--follow", "--", "true")
        _submit(jobs, GPUS + count)
        workers = [job.worker.pid for job in jobs.statuses(TARGET) if _waits(job) and job.worker]
        if Path("/proc/self/smaps_rollup").exists():
            yield from _cost_rows(what, workers, stage.size(WATCH))
        else:
            yield Row("waiting cpu", f"{what}; skipped: this system has no /proc", 1)
        taken = Side([_taken(jobs) for _ in range(stage.trials(9))])
    told = "from the signal that ends a job of a GPU to the start of the next in line / 2 seconds"
    yield Row("gpu taken", f"{what}; {told}", 1, Pairs(taken, Side([PATIENCE])))


def _submit(jobs: Scene, count: int) -> None:
    server = jobs.session(TARGET)
    for _ in range(count):
        jobs.submit(server, RunOptions(), "sleep", "3600")
    _until(lambda: sum(map(_waits, jobs.statuses(TARGET))) == count - GPUS)


def _waits(job: JobStatus) -> bool:
    return job.state == QUEUED and bool(job.waiting)


def _cost_rows(what: str, workers: Sequence[int], seconds: int) -> Iterator[Row]:
    """With the programs that a worker ran; a page that several workers use counts in parts."""
    before = [_cpu_seconds(pid) for pid in workers]
    time.sleep(seconds)
    percent = [100 * (_cpu_seconds(pid) - past) / seconds for pid, past in zip(workers, before)]
    told = (
        f"{what}, the busiest ({sum(percent):.2g} % all together) / {CPU_LIMIT:.0f} % of one core"
    )
    pairs = Pairs(Side([max(percent)]), Side([CPU_LIMIT]))
    yield Row("waiting cpu", told, 1, pairs, unit="%")
    megabytes = max(map(_megabytes, workers))
    told = f"{what}, the largest (proportional set size) / {MEMORY_LIMIT:.0f} MB"
    pairs = Pairs(Side([megabytes]), Side([MEMORY_LIMIT]))
    yield Row("waiting memory", told, 1, pairs, unit="MB")


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _megabytes(pid: int) -> float:
    found = re.search(r"^Pss: +(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)
    assert found
    return int(found[1]) * 1024 / 1e6


def _taken(jobs: Scene) -> float:
    """End a job that has a GPU; seconds until the next has begun."""
    codes = [job.code for job in jobs.statuses(TARGET) if job.state == RUNNING and job.code]
    running = [code.pid for code in codes if alive(code)]
    began = time.time()
    os.kill(running[0], signal.SIGTERM)

    def newer() -> list[float]:
        statuses = jobs.statuses(TARGET)
        return [job.running for job in statuses if job.running and job.running > began]

    _until(lambda: bool(newer()))
    return min(newer()) - began


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_LIMIT
    while not holds():
        if time.monotonic() > deadline:
            raise Failed("the jobs did not come to wait, or the next one did not begin")
        time.sleep(0.05)
