"""Only a push from which nothing comes any more loses the lock on the tree."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from remote.agent import dead_pushes, processes
from remote.agent.dead_pushes import end_dead
from remote.agent.target_dir import link
from remote.job.messages.target import TreeRequest
from remote.job.tree import LOCK, PushStamp
from tests.agent.job_folder import KEY
from tests.waiting import until

pytestmark = pytest.mark.skipif(not processes.PROC.joinpath("self/io").exists(), reason="no /proc")

OWN, OTHER = "a" * 32, "b" * 32


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(dead_pushes, "QUIET", 0.5)
    monkeypatch.setattr(dead_pushes, "LOOK", 0.05)
    root = tmp_path / "target"
    (root / LOCK).parent.mkdir(parents=True)
    (root / LOCK).touch()
    link(KEY).parent.mkdir(parents=True)
    link(KEY).symlink_to(root)
    return root


@contextmanager
def pushing(root: Path, copy: str, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process called rsync that has the lock, and does what the first of the words does."""
    program = root.parent / "rsync"
    shutil.copy(str(shutil.which(words[0])), program)
    (root / LOCK).write_text(f"{PushStamp.new(copy, 'ada@lovelace')}\n")
    with open(root / LOCK, "a") as lock:
        argv = [str(program), *words[1:]]
        made = subprocess.Popen(argv, stdout=subprocess.DEVNULL, pass_fds=[lock.fileno()])
    try:
        until(lambda: Path(f"/proc/{made.pid}/comm").read_text() == "rsync\n")
        yield made
    finally:
        made.kill()
        made.wait()


def ended(copy: str) -> bool:
    return end_dead(TreeRequest(key=KEY, copy=copy[:16])).ended


def test_a_push_of_the_same_copy_is_dead(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_pushes, "QUIET", 1e9)
    with pushing(root, OWN, "sleep", "60") as push:
        assert ended(OWN)
        assert push.wait() == -signal.SIGTERM


def test_one_of_another_copy_is_when_nothing_comes_any_more(root: Path) -> None:
    with pushing(root, OTHER, "sleep", "60") as push:
        assert ended(OWN)
        assert push.wait() == -signal.SIGTERM


def test_one_that_gets_on_is_left_alone(root: Path) -> None:
    with pushing(root, OTHER, "yes") as push:
        assert not ended(OWN)
        assert push.poll() is None


def test_a_job_that_takes_its_copy_is_left_alone(root: Path) -> None:
    (root / LOCK).write_text(f"{PushStamp.new(OWN, 'ada@lovelace')}\n")
    with open(root / LOCK):
        assert not ended(OWN)
