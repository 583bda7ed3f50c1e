"""The command that takes the lock on a target's tree, and becomes rsync."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from remote.job.tree import LOCK, PushStamp, read_stamp, reading
from remote.transport import tree_lock

STAMP = PushStamp.new("a" * 32, "ada@lovelace")

#: What the command needs beside rsync.
TOOLS = ("sh", "mkdir", "cat", "flock")


def run(root: Path, *words: str, tools: Path | None = None) -> subprocess.CompletedProcess[str]:
    path = {"PATH": str(tools)} if tools else None
    argv = [*tree_lock.local_command(root, STAMP), *words]
    argv[0] = str(shutil.which("sh"))
    return subprocess.run(argv, capture_output=True, text=True, env=path)


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A PATH with these programs, to be replaced."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        (folder / tool).symlink_to(str(shutil.which(tool)))
    # The one on PATH may be a script that needs others.
    (folder / "python3").symlink_to(os.path.realpath(sys.executable))
    return folder


def test_it_leaves_its_stamp_and_becomes_the_program_that_then_holds_the_lock(
    tmp_path: Path,
) -> None:
    look = f"flock -n '{tmp_path / LOCK}' true || echo held"
    assert run(tmp_path, "sh", "-c", look).stdout == "held\n"
    assert read_stamp(tmp_path) == STAMP
    with reading(tmp_path, STAMP.id) as is_whole:
        assert is_whole


def test_a_shorter_stamp_replaces_a_longer_one(tmp_path: Path) -> None:
    lock = tmp_path / LOCK
    lock.parent.mkdir()
    lock.write_text(f"{'b' * 32}:1:{'x' * 200}\n")
    run(tmp_path, "true")
    assert read_stamp(tmp_path) == STAMP


@pytest.mark.parametrize("has_flock", [True, False])
def test_where_another_holds_it_the_command_says_who_and_ends(
    tmp_path: Path, tools: Path, has_flock: bool
) -> None:
    if not has_flock:
        (tools / "flock").unlink()
    run(tmp_path, "true")
    with open(tmp_path / LOCK) as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        done = run(tmp_path, "echo", "ran", tools=tools)
    assert tree_lock.is_busy(done.stderr) and PushStamp.find(done.stderr) == STAMP
    assert (done.returncode, done.stdout) == (75, "")


def test_without_the_program_flock_it_is_locked_just_the_same(tmp_path: Path, tools: Path) -> None:
    (tools / "flock").unlink()
    look = f"{shutil.which('flock')} -n '{tmp_path / LOCK}' true || echo held"
    done = run(tmp_path, "sh", "-c", look, tools=tools)
    assert (done.stdout, done.stderr) == ("held\n", "")


def test_a_file_system_without_locks_is_told_and_pushed_to(tmp_path: Path, tools: Path) -> None:
    # What such a one answers to flock(2), as Python tells it.
    for tool, code in (("flock", 71), ("python3", 76)):
        (tools / tool).unlink()
        (tools / tool).write_text(f"#!{shutil.which('sh')}\nexit {code}\n")
        (tools / tool).chmod(0o755)
    (tools / "echo").symlink_to(str(shutil.which("echo")))
    done = run(tmp_path, "echo", "ran", tools=tools)
    assert done.stdout == "ran\n" and tree_lock.is_unlocked(done.stderr)


def test_no_login_shell_reads_more_into_it_than_sh_does() -> None:
    assert not set("'\n!") & set(tree_lock.SCRIPT)
