"""Which job makes an environment, where no lock holds among the machines that want it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from remote.agent.environments.maker import Claim
from remote.agent.launchers import LAUNCHERS
from remote.job.paths import JobPaths
from remote.job.status import FAILED, RUNNING, JobStatus
from tests.agent.job_folder import IDS, Elsewhere, add_elsewhere

FIRST, SECOND = IDS[:2]


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Elsewhere:
    launcher = Elsewhere()
    monkeypatch.setitem(LAUNCHERS, "elsewhere", launcher)
    return launcher


@pytest.fixture
def paths(tmp_path: Path, elsewhere: Elsewhere) -> JobPaths:
    """A job on another machine, which makes the environment."""
    made = add_elsewhere(tmp_path, state=RUNNING)
    folder(tmp_path).parent.mkdir()
    assert claim(tmp_path, made.id).take()
    return made


def folder(root: Path) -> Path:
    return root / ".remote/envs/abc"


def claim(root: Path, job: str) -> Claim:
    return Claim(root, folder(root), job)


def files(root: Path) -> list[str]:
    return sorted(path.name for path in folder(root).parent.iterdir())


def test_one_of_many_that_come_at_once_has_it(tmp_path: Path) -> None:
    folder(tmp_path).parent.mkdir(parents=True)
    gate, taken = threading.Barrier(8), []

    def come(number: int) -> None:
        mine = claim(tmp_path, SECOND)
        gate.wait()
        # Only the link decides: nobody is looked up.
        mine._make(folder(tmp_path).with_name("abc.maker-1"))
        if mine._file:
            taken.append(number)

    threads = [threading.Thread(target=come, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 1 and files(tmp_path) == ["abc.maker-1"]


def test_who_comes_later_waits_as_long_as_the_maker_may_work(
    tmp_path: Path, paths: JobPaths, elsewhere: Elsewhere
) -> None:
    other = claim(tmp_path, SECOND)
    assert not other.take()
    elsewhere.answer = None
    assert not other.take()
    elsewhere.answer = False
    assert other.take() and other.take()
    # The first one's life is over; it doesn't take it back from who lives.
    add_elsewhere_again(tmp_path)
    elsewhere.answer = True
    assert not claim(tmp_path, FIRST).take()


def add_elsewhere_again(root: Path) -> None:
    """The second job, of which there was only the name."""
    (root / ".remote/jobs" / SECOND).mkdir()
    first = JobPaths(root, FIRST)
    second = JobPaths(root, SECOND)
    second.job.write_text(first.job.read_text().replace(FIRST, SECOND))
    second.launch.write_text(first.launch.read_text())


def test_a_maker_that_waits_to_begin_again_makes_nothing(
    tmp_path: Path, paths: JobPaths, elsewhere: Elsewhere
) -> None:
    elsewhere.reason = "waiting in Slurm"
    assert claim(tmp_path, SECOND).take()


def test_a_maker_that_begins_again_goes_on(tmp_path: Path, paths: JobPaths) -> None:
    assert claim(tmp_path, FIRST).take()


@pytest.mark.parametrize("left", ["ended", "removed", "strange"])
def test_what_a_maker_left_that_is_gone_keeps_nobody(
    tmp_path: Path, paths: JobPaths, left: str
) -> None:
    if left == "ended":
        JobStatus(FAILED).to_file(paths.status)
    elif left == "removed":
        paths.job.unlink()
    else:
        folder(tmp_path).with_name("abc.maker-1").write_text('{"job": "../x"}')
    assert claim(tmp_path, SECOND).take()


def test_a_failed_attempt_leaves_it_free_and_a_good_one_leaves_nothing(
    tmp_path: Path, paths: JobPaths, elsewhere: Elsewhere
) -> None:
    elsewhere.answer = False
    mine = claim(tmp_path, SECOND)
    assert mine.take() and files(tmp_path) == ["abc.maker-1", "abc.maker-2"]
    mine.leave(is_made=False)
    assert files(tmp_path) == ["abc.maker-1"]
    assert mine.take()
    mine.leave(is_made=True)
    assert files(tmp_path) == []
