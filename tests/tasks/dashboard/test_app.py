"""The dashboard, driven: three servers on its screen, of which one is silent, and its keys."""

from __future__ import annotations

import asyncio
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from remote.agent import processes
from remote.agent.tracking import run_rows
from remote.config import Project
from remote.files import write_json
from remote.job.paths import JobPaths
from remote.job.status import FAILED, QUEUED, RUNNING, JobStatus, LeasedGpu, Progress
from remote.operations import pool
from remote.operations.watched_servers import WatchedServers
from remote.tasks.dashboard.app import Dashboard
from tests.fakegpu import FakeGpus
from tests.lab import Lab
from tests.stores import empty_store
from tests.tasks.dashboard.screens import text_of

pytestmark = pytest.mark.mlflow

RUNS, WAITS, ENDED = (
    f"20260101-09000{n}-{name}" for n, name in enumerate(("train-aaaa", "train-bbbb", "eval-cccc"))
)
EVIL = "[red]markup[/red] \x1b[31m\x9b2J\u202e"


class Driven(Dashboard):
    """One whose commands are noted, and not typed, and which asks once it `is_drawn`."""

    def __init__(self, watched: WatchedServers) -> None:
        super().__init__(watched)
        self.typed: list[tuple[str, str, str]] = []
        self.is_drawn = threading.Event()

    def _look(self, everybody: bool) -> None:
        assert self.is_drawn.wait(60)
        super()._look(everybody)

    def _type(self, command: tuple[str, ...], target: str, job: str = "") -> None:
        self.typed.append((command[0], target, job))


@pytest.fixture
def project(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """`one` has a job that logs a metric, `two` one that waits, and one that ended with evil words."""
    made = lab.project(tmp_path / "project")
    servers = pool.sessions(made, "all")
    pool.ask_all(servers[:2], lambda server: server.prepare(), limit=60)
    monkeypatch.setattr(pool, "LIMIT", 0.5)
    with subprocess.Popen(["sleep", "600"]) as worker:
        alive = {"worker": processes.identity(worker.pid)}
        leased = (LeasedGpu(0, "GPU-0", "A100"),)
        going = add(
            lab.root("one", made), RUNS, state=RUNNING, gpus=leased, running=time.time(), **alive
        )
        Progress(cell=2, cells=4).to_file(going.progress)
        log_metric(lab.root("one", made))
        two = lab.root("two", made)
        add(two, WAITS, state=QUEUED, waiting="waiting for 1 GPU: 0 of 2 are free", **alive)
        add(two, ENDED, state=FAILED, cause=EVIL, ended=time.time())
        busy(lab.gpus["one"], memory=40960, load=75)
        yield made
        busy(lab.gpus["one"], memory=4, load=0)
        worker.kill()
    for server in servers:
        if server.ssh:
            server.ssh.close()


def busy(gpus: FakeGpus, *, memory: int, load: int) -> None:
    gpus.state["gpus"][0].update({"memory.used": memory, "utilization.gpu": load})
    gpus.save()


def add(root: Path, job_id: str, **status: Any) -> JobPaths:
    """A job's folder, as it lies on a server."""
    paths = JobPaths(root, job_id)
    paths.folder.mkdir(parents=True)
    asked = {
        "id": job_id,
        "kind": "notebook",
        "source": "src/notebooks/train.ipynb",
        "name": "train",
    }
    asked["submitted"] = time.time() - 60 + int(job_id[14])
    write_json(paths.job, {**asked, "mlflow_run": "a" * 32})
    JobStatus(**status).to_file(paths.status)
    return paths


def log_metric(root: Path) -> None:
    store = empty_store(root)
    tags = {"mlflow.runName": "train", "mlflow.user": "ada"}
    run_rows.begin(store, experiment="e", run_id="a" * 32, tags=tags, start_ms=1)
    with run_rows.writing(store) as database:
        for step in range(8):
            row = ("loss[b]", 8.0 - step, 1000 + step, step, "a" * 32)
            for verb, table in (("", "metrics"), ("OR REPLACE", "latest_metrics")):
                database.execute(
                    f"INSERT {verb} INTO {table} (key, value, timestamp, step, run_uuid, is_nan)"
                    " VALUES (?, ?, ?, ?, ?, 0)",
                    row,
                )


def drive(
    project: Project, size: tuple[int, int], play: Callable[[Driven, Pilot[None]], Any]
) -> None:
    """Play on a dashboard that has heard from all of them."""

    async def run() -> None:
        app = Driven(WatchedServers(pool.sessions(project, "all")))
        async with app.run_test(size=size, notifications=True) as pilot:
            await until_shown(pilot, "one asking …", "two asking …", "dead asking …")
            app.is_drawn.set()
            await until_shown(pilot, "dead no answer", "train-aaaa", "train-bbbb")
            await play(app, pilot)
        assert app.bug is None
        # One server answers when the screen is gone.
        app.on_dashboard_answered()

    asyncio.run(run())


async def until_shown(pilot: Pilot[None], *words: str) -> str:
    for _ in range(1200):
        shown = text_of(pilot.app)
        if all(word in shown for word in words):
            return shown
        await pilot.pause(0.05)
    pytest.fail(f"never shown together: {words}\n{shown}")


def test_one_small_screen_shows_all_of_them(project: Project) -> None:
    async def play(app: Driven, pilot: Pilot[None]) -> None:
        # What is filled at once may be laid out one after the other.
        shown = await until_shown(pilot, "two 1 NVIDIA", "waiting for 1 GPU", "p Pull")
        assert shown.startswith("remote-top 2 of 3 servers answered")
        lines = shown.splitlines()
        assert "dead no answer: It gave no answer within 0.5 s." in lines
        assert "one 0 NVIDIA A100-SXM4-80GB ████░░ 75 % ███░░░ 40.0/80 GiB -" in lines
        assert "two 1 NVIDIA A100-SXM4-80GB ░░░░░░ 0 % ░░░░░░ 0.0/80 GiB -" in lines
        [runs] = [line for line in lines if "train-aaaa" in line]
        assert runs.startswith("one train-aaaa running 0 ")
        assert runs.endswith("██░░ 2/4 █▇▅▄▂▁ 1 loss[b]")
        [ended] = [line for line in lines if "eval-cccc" in line]
        assert r"[red]markup[/red] \x1b[31m" in ended
        waits = [line for line in lines if "train-bbbb" in line]
        assert waits[0].startswith("two train-bbbb queued - ")
        assert waits[1] == "two - train-bbbb waiting for 1 GPU: 0 of 2 are free"
        assert lines[-1].startswith("l Log a Attach s Stop r Rerun p Pull")
        assert all(ord(char) > 31 and char not in "\x9b\u202e" for line in lines for char in line)

        await pilot.resize_terminal(120, 40)
        wide = await until_shown(pilot, "METRIC", "WHAT, OUTCOME")
        assert "███░░░ 2/4 █▇▆▅▄▃▂▁ 1 loss[b] train.ipynb" in wide
        await pilot.resize_terminal(40, 10)
        await until_shown(pilot, "train-bbbb")

    drive(project, (80, 24), play)


def test_each_key_types_the_command_of_its_name(project: Project) -> None:
    async def play(app: Driven, pilot: Pilot[None]) -> None:
        await pilot.press("home")
        await pilot.press("l", "enter", "a", "r", "p")
        commands = ["remote-logs", "remote-logs", "remote-attach", "remote-rerun", "sync-pull"]
        assert app.typed == [(command, "two", WAITS) for command in commands]
        app.typed.clear()

        await pilot.press("down", "s")
        assert f"Stop {RUNS} on one? y/n" in text_of(app)
        await pilot.press("n")
        assert app.typed == []
        await pilot.press("s", "y")
        assert app.typed == [("remote-stop", "one", RUNS)]

        await pilot.press("end", "s")
        await until_shown(pilot, "No running job is chosen.")
        # What is looked at meanwhile leaves the choice where it is.
        looks = app.watched.looks
        await pilot.press("f")
        while app.watched.looks == looks:
            await pilot.pause(0.05)
        await pilot.press("l")
        assert app.typed[1:] == [("remote-logs", "two", ENDED)]

        await pilot.press("question_mark")
        assert "Each key types the command of that name" in text_of(app)
        await pilot.press("escape", "c")
        await until_shown(pilot, "No server asks for a login.")
        await pilot.press("q")

    drive(project, (80, 24), play)


def test_a_bug_of_who_asks_ends_it_and_is_kept(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(watched: WatchedServers, on_reply: Callable[[], None], *, everybody: bool) -> None:
        raise KeyError("a bug")

    async def run() -> None:
        app = Dashboard(WatchedServers(pool.sessions(project, "one")))
        async with app.run_test() as pilot:
            await pilot.pause(1)
        assert repr(app.bug) == "KeyError('a bug')"

    monkeypatch.setattr(WatchedServers, "look", look)
    asyncio.run(run())
