"""Looking needs no byte of room and no right to write; and a pull brings results off a full disk."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from remote.job.paths import CACHE
from remote.job.status import FINISHED, RUNNING
from scripts.sshd import PrivateSshd
from tests.agent.job_folder import add, gone
from tests.conftest import ProjectFolder
from tests.disks import fill, small_disk
from tests.operations.tracking.conftest import Store
from tests.stores import empty_store

ENDED, LOST, OLD = (f"20260101-{hour}0000-train-aaaa" for hour in ("09", "10", "08"))


@pytest.fixture
def target(project: ProjectFolder, target_root: Path, tmp_path: Path) -> Iterator[Path]:
    """A target with records, results, a job that ended and one whose worker is gone."""
    with small_disk(target_root, 40) as disk:
        project.inv("sync-push")
        store = Store(disk / "there", empty_store(tmp_path / "empty"))
        store.file.rename(disk / "mlflow.db")
        store.root.rmdir()
        store.file = disk / "mlflow.db"
        store.run("f" * 32, artifact="kept")
        (disk / "data/results/table.csv").write_text("1,2\n")
        for job in (OLD, ENDED):
            paths = add(disk, job, state=FINISHED, ended=1.0)
            paths.log.write_text("hello\n")
            os.utime(paths.folder, (1_700_000_000,) * 2)
        lost = add(disk, LOST, state=RUNNING, worker=gone(), started=1.0)
        lost.log.write_text("half a line")
        lost.notebook.write_text("{}")
        lost.live.parent.mkdir(exist_ok=True)
        lost.live.touch()
        yield disk


def look(project: ProjectFolder) -> None:
    """Every command that only looks."""
    jobs = json.loads(project.inv("remote-ps", "--json").out)["jobs"]
    states = {job["id"]: job["state"] for job in jobs}
    assert (states[ENDED], states[LOST]) == ("finished", "lost")
    (cause,) = (job["cause"] for job in jobs if job["id"] == LOST)
    assert "its end is not completely recorded yet" in cause
    assert LOST in project.inv("remote-ps", LOST).text
    assert "hello" in project.inv("remote-logs", ENDED).out
    assert "half a line" in project.inv("remote-logs", LOST, check=False).out
    project.inv("remote-gpus")
    project.inv("remote-diff", OLD, ENDED)
    project.inv("remote-wait", ENDED)
    assert "lost" in project.inv("remote-stop", LOST, check=False).text
    assert "Traceback" not in project.inv("doctor", check=False).text


def pulls(project: ProjectFolder) -> None:
    """Results and records come."""
    assert "1 new run" in project.inv("sync-pull").out
    assert (project.root / "data/results/table.csv").read_text() == "1,2\n"
    assert [path.read_text() for path in project.root.glob("mlruns/*/*/*/*.txt")] == ["kept"]
    assert "0 new runs" in project.inv("mlflow-pull").out


def test_a_full_disk_is_looked_at_pulled_from_and_pruned(
    project: ProjectFolder, target: Path
) -> None:
    fill(target, leaving=0)
    look(project)
    pulls(project)
    out = project.inv("remote-prune", "--older", "1d").out
    assert f"removed job {OLD}" in out and f"removed job {ENDED}" in out
    look_again = json.loads(project.inv("remote-ps", "--json").out)["jobs"]
    assert [job["state"] for job in look_again] == ["lost"]


def test_a_disk_that_may_not_be_written_to_is_looked_at_and_pulled_from(
    project: ProjectFolder, target: Path
) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(target)], check=True)
    look(project)
    pulls(project)
    done = project.inv("remote-prune", "--older", "1d", check=False)
    assert done.code and "Read-only file system" in done.err


def test_a_full_home_takes_no_new_agent_and_the_one_that_is_there_goes_on(
    project: ProjectFolder, target_root: Path, sshd: PrivateSshd
) -> None:
    with small_disk(sshd.home / CACHE, 8) as cache:
        project.inv("sync-push")
        fill(cache)
        assert project.inv("remote-ps").code == 0
        for agent in cache.glob("agent-*"):
            shutil.rmtree(agent) if agent.is_dir() else os.truncate(agent, 0)
        (cache / "filler").unlink()
        fill(cache)
        for agent in cache.glob("agent-*.zip"):
            agent.unlink()
        done = project.inv("remote-ps", check=False)
        assert done.code and "No space left on device" in done.err and "~/.cache" in done.err
