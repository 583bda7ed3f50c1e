"""Folders that are links to another disk, at both ends: followed and kept, never sent dangling."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ProjectFolder
from tests.faults.test_bad_paths import NOT_ALL, add_run, write
from tests.stores import empty_store

LOCK = (
    "six==1.17.0 --hash=sha256:4721f391ed90541fddacab5acf947aa0d3dc7d27b2e1e8eda2be8970586c3274\n"
)


@pytest.fixture
def there(project: ProjectFolder, target_root: Path) -> Path:
    """A target that was pushed to."""
    (project.root / "requirements.lock").write_text(LOCK)
    project.write("data/raw/r.csv", "1")
    project.write("data/raw/set/s.csv", "1")
    project.write("models/m.py", "first")
    project.inv("sync-push")
    return target_root


def move_out(folder: Path, disk: Path, *, relative: bool = False) -> Path:
    """Have a folder lie on another disk, with a link in its place."""
    disk.mkdir(parents=True, exist_ok=True)
    elsewhere = disk / folder.name
    shutil.move(folder, elsewhere)
    folder.symlink_to(os.path.relpath(elsewhere, folder.parent) if relative else elsewhere)
    return elsewhere


def test_links_there_are_pushed_through_and_kept(
    project: ProjectFolder, there: Path, tmp_path: Path
) -> None:
    sets, data = move_out(there / "data/raw/set", tmp_path / "1"), there / "data"
    data = move_out(data, tmp_path / "2", relative=True)
    models = move_out(there / "models", tmp_path / "3")
    for path in (sets / "only there.csv", data / "raw/only there.bin"):
        write(path, "by a job")
    project.write("data/raw/r.csv", "the second")
    project.write("data/raw/set/s.csv", "the second")
    project.write("models/n.py", "new")
    (project.root / "models/m.py").unlink()
    assert "1 deleted" in project.inv("sync-push").out
    for link in ("data", "data/raw/set", "models"):
        assert (there / link).is_symlink(), link
    assert (data / "raw/r.csv").read_text() == (sets / "s.csv").read_text() == "the second"
    assert (sets / "only there.csv").exists() and (data / "raw/only there.bin").exists()
    assert [path.name for path in models.iterdir()] == ["n.py"]
    shutil.rmtree(project.root / "data")
    project.inv("sync-push")
    assert (there / "data").is_symlink() and (sets / "s.csv").exists()

    shutil.move(data, f"{data} unmounted")
    project.write("data/raw/r.csv", "the third")
    refused = project.inv("sync-push", check=False)
    assert (
        refused.code == 2
        and "which doesn't exist" in refused.err
        and "Mount its destination" in refused.err
    )
    assert (there / "data").is_symlink()


def test_what_was_pushed_as_a_link_and_is_a_folder_now_is_one_there(
    project: ProjectFolder, there: Path
) -> None:
    project.write("conf/one/a", "one")
    for name in ("conf/current", "conf/to nothing"):
        (project.root / name).symlink_to("one" if name.endswith("t") else "two")
    project.inv("sync-push")
    write(there / "conf/two/a", "two")
    assert os.readlink(there / "conf/current") == "one"
    for name in ("conf/current", "conf/to nothing"):
        (project.root / name).unlink()
        project.write(f"{name}/b", "a folder of its own")
    project.inv("sync-push")
    assert not (there / "conf/current").is_symlink() and not (there / "conf/one/b").exists()
    assert (there / "conf/one/a").exists() and (there / "conf/current/b").exists()
    assert (there / "conf/to nothing/b").exists()


def test_a_pull_follows_links_at_both_ends(
    project: ProjectFolder, there: Path, tmp_path: Path
) -> None:
    here = project.root
    empty_store(there)
    add_run(there, "r" * 32)
    for name in ("data/results", "outputs", "mlruns"):
        write(there / name / "sub/a.txt", name)
        move_out(there / name, tmp_path / "server")
    for name in ("data/results", "logs", "mlruns"):
        (here / name).mkdir(parents=True, exist_ok=True)
        move_out(here / name, tmp_path / "laptop")
    (there / "data/results/leads out").symlink_to("/etc")
    write(there / "data/results/big/ckpt.pt", "big")
    write(there / "logs/l.txt", "log")
    (tmp_path / "big").mkdir()
    (here / "data/results/big").symlink_to(tmp_path / "big")

    done = project.inv("sync-pull")
    assert "1 new run" in done.out and "data/results/leads out -> /etc" in done.err
    for name in ("data/results", "logs", "mlruns", "data/results/big"):
        assert (here / name).is_symlink(), name
    assert (tmp_path / "laptop/results/sub/a.txt").exists() and (
        here / "outputs/sub/a.txt"
    ).exists()
    assert (tmp_path / "big/ckpt.pt").read_text() == "big"
    assert len(list((tmp_path / "laptop/mlruns").glob("*/*/artifacts/note.txt"))) == 1
    assert "0 files" in project.inv("sync-pull").out

    shutil.move(tmp_path / "big", tmp_path / "unmounted")
    write(there / "data/results/more.txt", "more")
    (here / "data/results/stale").symlink_to("/nowhere")
    done = project.inv("sync-pull", check=False)
    assert done.code == NOT_ALL and (here / "data/results/more.txt").exists()
    assert f"data/results/big on this machine: a link to {tmp_path / 'big'}" in done.err
    assert "All but 1 path" in done.err and (here / "data/results/big").is_symlink()


def test_no_link_that_is_not_the_users_is_followed(
    project: ProjectFolder, there: Path, tmp_path: Path
) -> None:
    here, outside = project.root, tmp_path / "outside"
    outside.mkdir()
    # By a server: what it sends as a link is not what a later pull writes through.
    (there / "data/results/d").symlink_to(outside)
    (there / "data/results/e").symlink_to("../../src")
    (there / "data/results/in").symlink_to("real")
    write(there / "data/results/real/a", "a")
    project.inv("sync-pull")
    for name in ("d", "e", "in"):
        (there / "data/results" / name).unlink()
        write(there / "data/results" / name / "planted", "x")
    project.inv("sync-pull")
    assert list(outside.iterdir()) == [] and not (here / "src/planted").exists()
    assert not (here / "data/results/real/planted").exists()
    # By a repository, and by mistake into the project itself.
    write(there / "logs/l", "x")
    write(there / "outputs/o", "x")
    (here / "logs").symlink_to(outside)
    (here / "outputs").symlink_to(here / "src")
    for words in (["init", "-q"], ["add", "-f", "logs"]):
        subprocess.run(["git", *words], cwd=here, check=True)
    done = project.inv("sync-pull", check=False)
    assert done.code == NOT_ALL and "which git brought" in done.err
    assert "the project's own files" in done.err
    assert list(outside.iterdir()) == [] and not (here / "src/o").exists()


def test_links_of_data_here_are_followed_or_refused(
    project: ProjectFolder, there: Path, tmp_path: Path
) -> None:
    here = project.root
    big = move_out(here / "data/raw", tmp_path / "disk")
    write(big / "new.csv", "new")
    write(tmp_path / "file.csv", "a file")
    (big / "file.csv").symlink_to(tmp_path / "file.csv")
    (big / "inside").symlink_to("set")
    project.write("src/a.py", "a")
    project.inv("sync-push")
    raw = there / "data/raw"
    assert not raw.is_symlink() and (raw / "new.csv").read_text() == "new"
    assert (raw / "file.csv").read_text() == "a file" and (there / "src/a.py").exists()
    assert os.readlink(raw / "inside") == "set"
    assert "0 files" in project.inv("sync-push").out

    move_out(here / "data", tmp_path / "whole")
    (big / "new.csv").write_text("the second")
    project.inv("sync-push")
    assert not (there / "data").is_symlink() and (raw / "new.csv").read_text() == "the second"

    shutil.move(big, f"{big} unmounted")
    done = project.inv("sync-push", check=False)
    assert done.code == NOT_ALL and "data/raw on this machine: a link to" in done.err
    assert (raw / "new.csv").read_text() == "the second"
    (here / "data/raw").unlink()
    (here / "data/raw").symlink_to(here.parent)
    done = project.inv("sync-push", check=False)
    assert done.code == NOT_ALL and "the project's own files" in done.err
    project.write(".rsyncignore", "/data/raw\n")
    assert "pushed to" in project.inv("sync-push").out and (raw / "new.csv").exists()


def test_a_job_works_behind_links(project: ProjectFolder, there: Path, tmp_path: Path) -> None:
    write(there / "../shared/lib.txt", "shared")
    (there / "models/lib").symlink_to("../../shared")
    project.write(".rsyncignore", "/models/lib\n")
    data = move_out(there / "data", tmp_path / "disk")
    outputs = move_out(there / "outputs", tmp_path / "disk")
    command = "cat data/raw/r.csv models/lib/lib.txt > data/results/r; date > outputs/o"
    project.inv("remote-run", "--follow", "--no-record", "--", "sh", "-c", command)
    assert (data / "results/r").read_text() == "1shared" and (outputs / "o").exists()
    project.inv("sync-pull")
    assert (project.root / "data/results/r").read_text() == "1shared"
    assert (project.root / "outputs/o").exists()
