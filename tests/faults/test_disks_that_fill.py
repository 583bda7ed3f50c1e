"""Disks that fill: whoever fills one empties it, and is told which one it is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from remote.config import Project
from remote.errors import TransferError
from remote.job.paths import partial_name, temporary_folder
from remote.operations.sync import push
from remote.session import TargetSession, project_id
from remote.target import Target
from scripts.sshd import PrivateSshd
from tests.conftest import ProjectFolder
from tests.disks import MB, fill, free, random_file, small_disk


@pytest.fixture
def disk(target_root: Path) -> Iterator[Path]:
    """The server's disk, of 40 MB, with the target on it and nothing else."""
    with small_disk(target_root, 40) as folder:
        yield folder


@pytest.fixture
def server(project: ProjectFolder, sshd: PrivateSshd, disk: Path) -> TargetSession:
    """That target, pushed to once."""
    settings = {"REMOTE_SSH_CONFIG": str(sshd.config)}
    target = Target.parse(project.env["TARGET_DIR"])
    session = TargetSession.of(Project(project.root, settings), target)
    push(session)
    return session


def again(server: TargetSession) -> TargetSession:
    """The same target, as the next command sees it."""
    return TargetSession.of(server.project, server.target)


def unfinished(disk: Path) -> list[Path]:
    """What rsync left there, whatever it is called."""
    partial = [*(disk / ".remote/partial").rglob("*")]
    return [
        *(path for path in partial if path.is_file()),
        *disk.rglob(".~*"),
        *disk.rglob(".*.??????"),
    ]


def test_a_push_that_does_not_fit_is_refused_and_takes_no_room(
    server: TargetSession, project: ProjectFolder, disk: Path
) -> None:
    before = free(disk)
    big = random_file(project.root / "data/raw/big.bin", 50)
    (project.root / "src/new.py").write_text("new")
    with pytest.raises(TransferError, match=r"50\.\d MB don't fit on gpu:.* are free in") as caught:
        push(server)
    assert "remote-prune" in caught.value.hint
    assert unfinished(disk) == [] and before - free(disk) < 0.1 * MB
    assert not (disk / "src/new.py").exists()
    big.unlink()
    assert push(again(server)).files.sent == ["src/new.py"]


def test_a_disk_that_fills_during_a_push_is_emptied_by_it(
    server: TargetSession, project: ProjectFolder, disk: Path
) -> None:
    """Little is not asked for, and others may be faster."""
    filler = fill(disk, leaving=4 * MB)
    before = free(disk)
    random_file(project.root / "data/raw/big.bin", 8)
    with pytest.raises(
        TransferError, match="The disk of gpu:.* is full|could not be written on gpu:"
    ):
        push(server)
    assert unfinished(disk) == [] and before - free(disk) < 0.1 * MB
    filler.unlink()
    assert push(again(server)).files.sent == ["data/raw/big.bin"]
    assert unfinished(disk) == [] and not again(server).facts.cut


def test_partial_files_of_another_push_give_way_to_what_needs_their_room(
    server: TargetSession, project: ProjectFolder, disk: Path
) -> None:
    """What was cut off was removed here meanwhile."""
    copy = project_id(server.project)
    random_file(temporary_folder(disk, copy) / ".old.bin.a1b2c3", 12)
    random_file(disk / "data" / partial_name(copy) / "older.bin", 12)
    random_file(project.root / "data/raw/big.bin", 20)
    server.remember(cut=True)
    assert push(server).files.sent == ["data/raw/big.bin"]
    assert unfinished(disk) == []


def test_holes_take_no_room(server: TargetSession, project: ProjectFolder, disk: Path) -> None:
    sparse = project.root / "data/raw/sparse.bin"
    with open(sparse, "wb") as file:
        file.write(b"begin")
        file.truncate(300 * MB)
    before = free(disk)
    assert push(server).files.sent == ["data/raw/sparse.bin"]
    there = disk / "data/raw/sparse.bin"
    assert there.stat().st_size == 300 * MB and before - free(disk) < 1 * MB
    with open(there, "rb") as file:
        assert file.read(8) == b"begin\0\0\0"


def test_data_on_a_disk_of_its_own_is_weighed_there(
    server: TargetSession, project: ProjectFolder, disk: Path
) -> None:
    """What goes to it doesn't pass through the target's smaller one."""
    with small_disk(disk / "data/raw", 100) as raw:
        random_file(project.root / "data/raw/big.bin", 60)
        assert push(server).files.sent == ["data/raw/big.bin"]
        assert (raw / "big.bin").stat().st_size == 60 * MB and unfinished(disk) == []


@pytest.fixture
def laptop(project: ProjectFolder) -> Iterator[Path]:
    """The project on a small disk of its own; its results are large, and the target has more."""
    project.inv("sync-push")
    with small_disk(project.root.with_name("disk"), 40) as folder:
        shutil.copytree(project.root, folder / "project", symlinks=True)
        project.root = folder / "project"
        yield folder


def test_a_full_laptop_is_told_as_the_laptop(
    project: ProjectFolder, target_root: Path, laptop: Path
) -> None:
    big = random_file(target_root / "data/results/big.bin", 8)
    filler = fill(laptop, leaving=4 * MB)
    said = project.inv("sync-pull", check=False)
    assert said.code and "disk of this machine is full" in said.err and "Traceback" not in said.err
    assert "gpu" not in said.err.split("disk of")[1].splitlines()[0]
    for leaving in (0, 200_000):
        filler = fill(laptop, leaving=leaving)
        said = project.inv("sync-pull", check=False)
        assert said.code and "of this machine is full" in said.err and "Traceback" not in said.err
    filler.unlink()
    project.inv("sync-pull")
    assert (project.root / "data/results/big.bin").read_bytes() == big.read_bytes()
    assert not [*(project.root / ".remote").glob("delta-*")]


def test_a_full_disk_is_made_room_on_by_prune(
    server: TargetSession, project: ProjectFolder, disk: Path
) -> None:
    backup = random_file(disk / ".remote/backup/20260101-000000/big.bin", 5).parent
    os.utime(backup, (1, 1))
    partial = disk / "src" / partial_name(project_id(server.project)) / "big.bin"
    random_file(partial, 5)
    filler = fill(disk)
    assert free(disk) == 0
    said = project.inv("remote-prune", "--older", "30d")
    assert "removed backup 20260101-000000" in said.out and "10.0 MB freed" in said.out
    assert free(disk) > 9.9 * MB and not partial.exists()
    filler.unlink()


def test_backups_of_pulls_go_by_the_same_rule(project: ProjectFolder) -> None:
    project.inv("sync-push")
    old, young = (project.root / ".remote/backup" / name for name in ("pull-1", "pull-2"))
    for folder in (old, young):
        random_file(folder / "data/results/a.bin", 1)
    os.utime(old, (1, 1))
    would = project.inv("remote-prune", "--dry-run")
    assert (
        "would remove on this machine: pull-1, 1.0 MB of what pulls replaced" in would.out
        and old.exists()
    )
    project.inv("remote-prune")
    assert not old.exists() and young.exists()
