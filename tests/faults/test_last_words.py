"""The disk is full at the last moment of a job, which its own code filled."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from remote.agent.job_folders import read_status
from remote.agent.job_state import state_of
from remote.job.paths import JobPaths
from remote.job.spec import Job
from remote.job.status import FAILED, FINISHED, JobStatus
from remote.rpc import bundle
from tests.disks import fill, free, small_disk
from tests.stores import empty_store
from tests.waiting import until

ID, RUN = "20260101-090001-eat-bbbb", "ab" * 16

#: Takes the last byte.
EAT = "echo begun; cat /dev/zero > data/filler 2>/dev/null; "

#: Of a job on a disk that is `greedy`; the argument is the disk.
UNTIL_FULL = "touch {0}/data/running; until test -e {0}/../full; do sleep 0.05; done; "


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The agent's file, which is the worker too."""
    file = tmp_path_factory.mktemp("agent") / "agent.zip"
    file.write_bytes(bundle.packed(bundle.contents()))
    return file


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A target with a store, on a disk with room for little more."""
    with small_disk(tmp_path / "disk", megabytes=8) as disk:
        empty_store(disk)
        (disk / "data").mkdir()
        yield disk


def perform(agent: Path, root: Path, script: str, **asked: Any) -> tuple[JobPaths, JobStatus]:
    """Have a worker do a job of the shell, to its end; its folder and what it wrote there last."""
    paths = JobPaths(root, ID)
    paths.folder.mkdir(parents=True)
    facts: dict[str, Any] = {"kind": "command", "source": "", "arguments": ("sh", "-c", script)}
    facts.update(interpreter=sys.executable, gpus=0, mlflow_run=RUN, experiment="eat", user="me")
    Job(**{**facts, **asked}, id=ID, name="eat").to_file(paths.job)
    paths.live.parent.mkdir()
    paths.live.touch()
    argv = [sys.executable, "-IS", str(agent), "work-here", str(root), ID]
    subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
    return paths, read_status(paths)


def of_run(store: Path, column: str) -> Any:
    with closing(sqlite3.connect(store)) as database:
        query = f"SELECT {column} FROM runs WHERE run_uuid = ?"
        return database.execute(query, (RUN,)).fetchone()[0]


def run_status(store: Path) -> Any:
    return of_run(store, "status")


def end_time(store: Path) -> Any:
    return of_run(store, "end_time")


@contextmanager
def greedy(folder: Path) -> Iterator[None]:
    """Somebody takes each byte that is freed on a disk, from the moment when a job's code runs
    until the end of the block. That code waits until there is none: UNTIL_FULL."""
    done = threading.Event()

    def eat() -> None:
        until((folder / "running").exists)
        descriptor = os.open(folder / "greedy", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        while not done.is_set():
            try:
                taken = free(folder) and os.write(descriptor, bytes(4096))
            except OSError:
                taken = 0
            if not taken:
                (folder.parent.parent / "full").touch()
                done.wait(0.0005)
        os.close(descriptor)

    eater = threading.Thread(target=eat)
    eater.start()
    try:
        yield
    finally:
        done.set()
        eater.join()
        (folder / "greedy").unlink()


@pytest.mark.parametrize(
    ("code", "state", "cause", "run"),
    [
        (0, FINISHED, "", "FINISHED"),
        (3, FAILED, "exit code 3: the server's disk is full", "FAILED"),
    ],
)
def test_a_job_that_filled_its_disk_ends_as_it_ended(
    agent: Path, root: Path, code: int, state: str, cause: str, run: str
) -> None:
    paths, status = perform(agent, root, f"{EAT} exit {code}")
    assert (status.state, status.exit_code, status.cause) == (state, code, cause)
    assert run_status(root / "mlflow.db") == run
    assert paths.log.read_text().splitlines()[-1].startswith(f"[remote] {state}, exit code {code}")
    assert not paths.live.exists() and not paths.reserve.exists() and not paths.end.exists()
    (account,) = root.glob(f"mlruns/*/{RUN}/artifacts/remote/log.txt")
    assert "begun" in account.read_text()


def test_what_others_left_no_room_for_follows_once_there_is_some(agent: Path, root: Path) -> None:
    with greedy(root / "data"):
        paths, status = perform(agent, root, f"{UNTIL_FULL.format(root)} exit 3")
        assert (status.state, status.exit_code) == (FAILED, 3)
        # Whoever looks now can't do more, and is told why.
        seen = state_of(paths)
        assert (seen.state, seen.exit_code) == (FAILED, 3)
        added = seen.cause[len(status.cause) :]
        assert seen.cause.startswith(status.cause)
        assert "No space left on device" in added or "disk is full" in added
    assert state_of(paths) == status and not paths.live.exists()
    assert run_status(root / "mlflow.db") == "FAILED"
    assert list(root.glob(f"mlruns/*/{RUN}/artifacts/remote/log.txt"))


def test_a_store_on_another_disk_has_room_for_a_jobs_end_too(
    agent: Path, root: Path, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    (target / "data").mkdir(parents=True)
    (target / "mlflow.db").symlink_to(root / "mlflow.db")
    script = f"ls -A {root} > {target}/seen; cat /dev/zero > {root}/filler 2>/dev/null; true"
    _, status = perform(agent, target, script)
    assert status.state == FINISHED and run_status(root / "mlflow.db") == "FINISHED"
    # The room stood beside the store, and is gone.
    assert f".remote-{ID}.reserve" in (target / "seen").read_text()
    assert not list(root.glob(".remote-*"))


def test_a_run_ends_where_the_disk_of_its_artifacts_has_no_room(
    agent: Path, root: Path, tmp_path: Path
) -> None:
    """Its files follow, by a change that the next pull sees."""
    target = tmp_path / "target"
    empty_store(target)
    (target / "mlruns").symlink_to(root / "data")
    with greedy(root / "data"):
        paths, status = perform(agent, target, UNTIL_FULL.format(root))
        assert status.state == FINISHED and run_status(target / "mlflow.db") == "FINISHED"
        before = end_time(target / "mlflow.db")
    assert paths.live.exists() and not list(root.glob("data/*/*/artifacts/remote/log.txt"))
    assert state_of(paths) == status and not paths.live.exists()
    assert list(root.glob("data/*/*/artifacts/remote/log.txt"))
    assert end_time(target / "mlflow.db") == before + 1


def test_a_notebook_on_a_full_disk_is_kept_once(agent: Path, root: Path) -> None:
    eat = f"import subprocess\nsubprocess.run(['sh', '-c', {EAT!r}])"
    cells = ["print('begun')", eat]
    source = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    notebook = {
        "cells": [{**source, "id": f"c{n}", "source": cell} for n, cell in enumerate(cells)],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "", "language": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    (root / "eat.ipynb").write_text(json.dumps(notebook))
    asked = {"kind": "notebook", "source": "eat.ipynb", "output": "eat", "arguments": ()}
    paths, status = perform(agent, root, "", **asked)
    assert (status.state, status.exit_code) == (FINISHED, 0), paths.log.read_text()
    state_of(paths)
    (kept,) = (root / "data/results/notebooks").iterdir()
    assert kept == root / status.result and "begun" in kept.read_text()
    assert list(root.glob(f"mlruns/*/{RUN}/artifacts/{kept.name}"))


def test_a_job_begins_only_where_there_is_room_for_its_end(agent: Path, root: Path) -> None:
    filler = fill(root / "data", leaving=300_000)
    paths, status = perform(agent, root, "touch data/ran")
    assert status.state == FAILED and status.cause.startswith("The server's disk is full")
    filler.unlink()
    assert state_of(paths) == status and not (root / "data/ran").exists()
