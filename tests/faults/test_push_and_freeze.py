"""A job runs what its own push brought, whoever else pushes to the target meanwhile."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from remote.job.tree import LOCK, PushStamp
from tests.conftest import INV, ProjectFolder, make_project

#: Prints the version of two files that a push always changes together.
SHOW = "cat src/a.txt src/z.txt"


@pytest.fixture
def clone(tmp_path: Path, project: ProjectFolder) -> ProjectFolder:
    """The same project once more, as another laptop has it, with its own code."""
    made = make_project(tmp_path / "clone", **project.env)
    write(made, "other")
    return made


def write(project: ProjectFolder, version: str) -> None:
    for name in ("a", "z"):
        project.write(f"src/{name}.txt", f"{version}\n")


@contextlib.contextmanager
def held(root: Path, stamp: PushStamp) -> Iterator[None]:
    """The lock on the tree, as a push holds it that is under way."""
    with open(root / LOCK, "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(f"{stamp}\n")
        file.flush()
        yield


def versions(text: str) -> list[str]:
    """A job's own account of its code."""
    return [line for line in text.splitlines() if line in ("one", "two", "other")]


@pytest.fixture
def pushed(project: ProjectFolder) -> ProjectFolder:
    write(project, "one")
    # Its environment is made in no time.
    project.write("requirements.lock", "")
    project.inv("sync-push")
    return project


@pytest.fixture
def between(pushed: ProjectFolder, tmp_path: Path) -> Path:
    """A script that runs once: after the next push, before its job is submitted.

    It takes the place of a git that is asked for what the code has beyond its commit.
    """
    subprocess.run(["git", "init", "-q"], cwd=pushed.root, check=True)
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    words = [*identity, "commit", "-q", "--allow-empty", "-m", "first"]
    subprocess.run(["git", *words], cwd=pushed.root, check=True)
    script, git = tmp_path / "between", tmp_path / "bin" / "git"
    git.parent.mkdir()
    # The state of the code is asked for before the push; what follows is asked after it.
    git.write_text(f"""#!/bin/sh
case "$*" in *diff*) mv '{script}' '{script}.now' 2>/dev/null && sh '{script}.now' >&2;; esac
exec {shutil.which("git")} "$@"
""")
    git.chmod(0o755)
    pushed.env["PATH"] = f"{git.parent}{os.pathsep}{os.environ['PATH']}"
    return script


def test_a_push_waits_for_another_and_says_for_whom(
    pushed: ProjectFolder, target_root: Path
) -> None:
    stamp = PushStamp.new("a" * 32, "ada@lovelace")
    with held(target_root, stamp):
        waiting = pushed.start("sync-push")
        assert waiting.stderr is not None
        assert "a push to this target, or a job's copy of it, which is of ada@lovelace" in (
            waiting.stderr.readline()
        )
        assert waiting.poll() is None
    assert waiting.wait() == 0


def test_a_second_push_of_a_project_says_that_it_waits(pushed: ProjectFolder) -> None:
    lock = pushed.root / ".remote/push.lock"
    with open(lock, "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        waiting = pushed.start("sync-push")
        assert waiting.stderr is not None
        assert "Waiting for another push of this project of" in waiting.stderr.readline()
    assert waiting.wait() == 0


def test_a_push_of_another_clone_before_the_job_is_submitted_is_noticed(
    pushed: ProjectFolder, clone: ProjectFolder, between: Path
) -> None:
    settings = "".join(f"export {name}='{value}'\n" for name, value in clone.env.items())
    between.write_text(f"cd '{clone.root}'\n{settings}exec '{INV}' sync-push\n")
    done = pushed.inv("remote-run", "--follow", "--gpus", "0", "--", "sh", "-c", SHOW)
    assert versions(done.out) == ["one", "one"]
    assert f"pushed to {pushed.env['TARGET_DIR']} meanwhile: pushing again." in done.err


def test_a_job_is_not_frozen_while_another_push_writes(
    pushed: ProjectFolder, target_root: Path, between: Path, tmp_path: Path
) -> None:
    # A push that is under way: it holds the lock, has written half, and its stamp is the first's.
    begun, go = tmp_path / "begun", tmp_path / "go"
    z = target_root / "src/z.txt"
    between.write_text(
        f'flock \'{target_root / LOCK}\' sh -c \'echo two > "{z}"; touch "{begun}";'
        f' until test -e "{go}"; do sleep 0.1; done\' >/dev/null 2>&1 &\n'
        f"until test -e '{begun}'; do sleep 0.05; done\n"
    )
    job = pushed.start("remote-run", "--follow", "--gpus", "0", "--", "sh", "-c", SHOW)
    assert job.stderr is not None and job.stdout is not None
    for line in job.stderr:
        if line.startswith("Waiting for a push to this target"):
            break
    go.touch()
    assert versions(job.stdout.read()) == ["one", "one"] and job.wait() == 0


def test_jobs_of_two_clones_at_once_run_their_own_code(
    pushed: ProjectFolder, clone: ProjectFolder
) -> None:
    clone.write("requirements.lock", "")
    words = ("remote-run", "--follow", "--gpus", "0", "--", "sh", "-c", SHOW)
    started = [(project, project.start(*words)) for project in (pushed, clone) * 3]
    for project, job in started:
        out, err = job.communicate()
        assert job.returncode == 0, err
        assert versions(out) == [(project.root / "src/a.txt").read_text().strip()] * 2


def test_an_edit_during_the_push_is_pushed_whole(
    pushed: ProjectFolder, target_root: Path, tmp_path: Path
) -> None:
    # An rsync during whose work an editor saves the file that was looked at first.
    rsync = tmp_path / "bin/rsync"
    rsync.parent.mkdir()
    source, edited = pushed.root / "src", tmp_path / "edited"
    rsync.write_text(f"""#!/bin/sh
case "$*" in *--help*|*--version*) exec {shutil.which("rsync")} "$@";; esac
{shutil.which("rsync")} "$@" || exit
test -e '{edited}' || {{ echo two > '{source}/a.txt'; touch '{edited}'; }}
""")
    rsync.chmod(0o755)
    pushed.env["PATH"] = f"{rsync.parent}{os.pathsep}{os.environ['PATH']}"
    write(pushed, "three")
    done = pushed.inv("sync-push")
    assert "src/a.txt changed while it was pushed: pushing again." in done.err
    assert (target_root / "src/a.txt").read_text() == "two\n"
    # What the first of the two replaced is kept.
    kept = (target_root / ".remote/backup").rglob("a.txt")
    assert {file.read_text() for file in kept} == {"one\n", "three\n"}


def test_two_clones_that_push_first_at_once_do_not_both_own_the_target(
    project: ProjectFolder, clone: ProjectFolder, target_root: Path
) -> None:
    pushes = [made.start("sync-push") for made in (project, clone)]
    errors = [push.communicate()[1] for push in pushes]
    assert [push.returncode for push in pushes] == [0, 0], errors
    assert len(list((target_root / ".remote/projects").iterdir())) == 1
    assert sum("Nothing was deleted" in error for error in errors) == 1
