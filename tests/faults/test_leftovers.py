"""What cut transfers leave: never among the user's files, and gone with the next command."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from remote.agent.processes import descendants
from remote.job.paths import partial_name
from tests.conftest import ProjectFolder
from tests.disks import MB, random_file
from tests.stores import empty_store
from tests.waiting import until

SLOW = '#!/bin/sh\nexec {real} --bwlimit={rate} "$@"\n'


@pytest.fixture
def slow_rsync(tmp_path: Path) -> dict[str, str]:
    """The environment of a laptop whose rsync sends and takes 4 MB a second."""
    program = tmp_path / "slow/rsync"
    program.parent.mkdir()
    program.write_text(SLOW.format(real=shutil.which("rsync"), rate=4000))
    program.chmod(0o755)
    return {"PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"}


def kill_tree(process: subprocess.Popen[str]) -> None:
    """End a command and all that it started as a power cut would."""
    for pid in [process.pid, *descendants(process.pid)]:
        os.kill(pid, signal.SIGKILL)


def kill_servers_rsync(target_root: Path) -> None:
    """End the rsyncs that work in the target, none of them after another."""
    pids = []
    for proc in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            is_there = os.readlink(proc / "cwd").startswith(str(target_root))
            if is_there and (proc / "comm").read_text() == "rsync\n":
                pids.append(int(proc.name))
    for kind in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            os.kill(pid, kind)


def files(folder: Path) -> dict[str, bytes]:
    """All files below a folder but the toolkit's own."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    names = {str(path.relative_to(folder)): path.read_bytes() for path in paths}
    return {name: data for name, data in names.items() if not name.startswith(".remote/")}


def partial_files(target_root: Path) -> list[Path]:
    return [path for path in (target_root / ".remote/partial").rglob("*") if path.is_file()]


def cut(
    project: ProjectFolder,
    slow: dict[str, str],
    words: str,
    begun: Callable[[], bool],
    kill: Callable[[subprocess.Popen[str]], None],
) -> None:
    """Start a command, and kill at the moment when `begun` says so."""
    command = project.start(words, **slow)
    until(begun)
    kill(command)
    command.communicate()
    assert command.returncode != 0


def begun(folder: Path) -> Callable[[], bool]:
    return lambda: any(path.stat().st_size > MB for path in folder.rglob("*") if path.is_file())


def test_a_server_that_dies_in_a_push_keeps_nothing_among_the_files(
    project: ProjectFolder, target_root: Path, slow_rsync: dict[str, str]
) -> None:
    project.inv("sync-push")
    before = files(target_root)
    random_file(project.root / "data/raw/big.bin", 12)
    partial = target_root / ".remote/partial"
    cut(project, slow_rsync, "sync-push", begun(partial), lambda _: kill_servers_rsync(target_root))
    assert files(target_root) == before and partial_files(target_root)
    project.inv("sync-push")
    assert (target_root / "data/raw/big.bin").stat().st_size == 12 * MB
    assert partial_files(target_root) == [] and not [*target_root.rglob(".~*")]


def test_a_push_goes_on_from_where_the_laptop_died(
    project: ProjectFolder, target_root: Path, slow_rsync: dict[str, str]
) -> None:
    project.inv("sync-push")
    random_file(project.root / "data/raw/big.bin", 12)
    gone = random_file(project.root / "src/deep/gone.bin", 0.1)
    partial = target_root / ".remote/partial"
    cut(project, slow_rsync, "sync-push", begun(partial), kill_tree)
    held = partial_name((project.root / ".remote/id").read_text())
    until(lambda: (target_root / "data/raw" / held / "big.bin").exists())
    gone.unlink()
    said = project.inv("sync-push").out
    sent = float(said.split(" MB")[0].split()[-1])
    assert sent < 11.5, said
    assert files(target_root) == files_to_push(project, target_root)


def files_to_push(project: ProjectFolder, target_root: Path) -> dict[str, bytes]:
    """What of the project belongs on the target."""
    there = files(target_root)
    here = {
        name: data for name, data in files(project.root).items() if not name.startswith(".venv")
    }
    del here["mlflow.db"]
    assert set(there) == set(here)
    return here


def test_a_laptop_that_dies_in_a_pull_keeps_nothing_among_its_files(
    project: ProjectFolder, target_root: Path, slow_rsync: dict[str, str]
) -> None:
    project.inv("sync-push")
    results = project.root / "data/results"
    random_file(target_root / "data/results/s/big.bin", 12)
    cut(project, slow_rsync, "sync-pull", begun(project.root / ".remote"), kill_tree)
    assert [path for path in results.rglob("*") if path.is_file()] == []
    assert [*(project.root / ".remote").glob("delta-*")]
    project.inv("sync-pull")
    assert [path.name for path in results.rglob("*") if path.is_file()] == ["big.bin"]
    assert [*(project.root / ".remote").glob("delta-*")] == []


def test_what_an_agent_that_died_left_goes_with_the_next_pull(
    project: ProjectFolder, target_root: Path
) -> None:
    project.inv("sync-push")
    empty_store(target_root)
    for name in ("delta-00", "delta-00-journal", "delta-01.z"):
        random_file(target_root / ".remote" / name, 0.1)
    # As the agent of another laptop does, which sends one now.
    with open(target_root / ".remote/delta.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        project.inv("sync-pull")
        assert len([*(target_root / ".remote").glob("delta-*")]) == 3
    project.inv("sync-pull")
    assert [*(target_root / ".remote").glob("delta-*")] == []
