"""The log in the worker's terminal, and the notes of when it grew."""

from __future__ import annotations

from pathlib import Path
from threading import Event

import pytest

from remote.agent import worker
from remote.job.paths import JobPaths


@pytest.fixture
def paths(tmp_path: Path) -> JobPaths:
    paths = JobPaths(tmp_path, "job-1")
    paths.folder.mkdir(parents=True)
    paths.log.write_bytes(b"first\n")
    return paths


class Job(Event):
    """The end of a job that writes a line at each look, and ends after `looks` of them."""

    def __init__(self, paths: JobPaths, looks: int, *, silent: bool = False) -> None:
        super().__init__()
        self.paths, self.looks, self.silent = paths, looks, silent
        self.pauses: list[float | None] = []

    def is_set(self) -> bool:
        with self.paths.log.open("ab") as log:
            log.write(b"" if self.silent else f"{self.looks}\n".encode())
        self.looks -= 1
        return self.looks == 0

    def wait(self, timeout: float | None = None) -> bool:
        self.pauses.append(timeout)
        return False


def test_all_is_shown_also_what_came_with_the_end(
    paths: JobPaths, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.mirror(paths, Job(paths, 3), lambda: True)
    assert capfd.readouterr().out == "first\n3\n2\n1\n"


def test_notes_say_how_long_the_log_was_before_it_grew(
    paths: JobPaths, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(100, 200, 2))
    monkeypatch.setattr(worker, "NOTE", 1)
    monkeypatch.setattr(worker.time, "time", lambda: next(clock))
    worker.mirror(paths, Job(paths, 3), lambda: True)
    notes = [line.split() for line in paths.times.read_text().splitlines()]
    assert [int(length) for _, length in notes] == [0, 8, 10]
    assert [float(when) for when, _ in notes] == sorted(float(when) for when, _ in notes)


def test_a_terminal_that_is_gone_ends_nothing(
    paths: JobPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(handle: int, data: bytes) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(worker.os, "write", gone)
    job = Job(paths, 2)
    worker.mirror(paths, job, lambda: True)
    assert job.looks == 0


@pytest.mark.parametrize(
    "silent, waits, last",
    [(True, True, worker.SELDOM), (False, True, worker.LOOK), (True, False, worker.LOOK)],
)
def test_a_log_that_does_not_grow_while_a_job_waits_is_looked_at_ever_less_often(
    paths: JobPaths, silent: bool, waits: bool, last: float
) -> None:
    job = Job(paths, 9, silent=silent)
    worker.mirror(paths, job, lambda: waits)
    assert (job.pauses[0], job.pauses[-1]) == (worker.LOOK, last)
