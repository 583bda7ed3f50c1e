"""Tickets: places in the queue that live as long as their process."""

from __future__ import annotations

import fcntl
import getpass
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from remote.agent.gpus import lease as leases
from remote.agent.gpus import line, lock_files, sources
from remote.agent.gpus.lease import Lease
from remote.agent.gpus.tickets import Ticket, waiting
from remote.job.messages.gpus import WaitingJob
from tests.agent.gpus.jobs import (
    HOLDER,
    PLANTED,
    Heard,
    Start,
    files,
    get,
    reason,
    take,
    watch,
)
from tests.fakegpu import FakeGpus
from tests.waiting import until


@pytest.mark.parametrize("plant", PLANTED)
def test_a_hostile_ticket_is_passed_over(
    fake: FakeGpus, folder: Path, tmp_path: Path, plant: Any
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    plant(folder / f"remote-gpu-{0:020d}-00000000.ticket", victim)
    get(folder).release()
    assert waiting(folder) == []
    assert victim.read_text() == "precious"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "\xff",
        "[" * 4096,
        '{"job": "../x\\u001b[2J", "user": 3, "gpus": -1, "memory": 1e999, "submitted": {}}',
        '{"job": {"a": 1}, "user": null, "gpus": "many", "memory": true}',
        "x" * 100000,
    ],
)
def test_what_a_stranger_wrote_on_a_ticket_hurts_nobody(folder: Path, text: str) -> None:
    name = f"remote-gpu-{7 * 10**9:020d}-0123abcd.ticket"
    (folder / name).write_text(text, encoding="latin-1")
    with lock_files.open_plain(folder / name) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        (found,) = waiting(folder)
    assert found.submitted == 7.0 and found.job == "" and found.user == getpass.getuser()
    assert found.gpus == 0 and found.memory in (0, True)


def test_control_characters_of_a_user_are_not_shown(folder: Path) -> None:
    place = Ticket(folder, WaitingJob("j", "a\x1b[2J\n", 1, 0, 1.0))
    assert waiting(folder)[0] == WaitingJob("j", getpass.getuser(), 1, 0, 1.0)
    place.close()


def test_a_ticket_is_kept_fresh(
    fake: FakeGpus, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "FRESH", 0.05)

    def look() -> None:
        if (folder / name).stat().st_mtime != 1:
            raise Heard

    ticket = watch(folder, 4, look)
    (name,) = files(folder, ".ticket")
    os.utime(folder / name, (1, 1))
    with get_by_force(folder):
        with pytest.raises(Heard):
            ticket.leased(lambda reason: None)


def get_by_force(folder: Path) -> Lease:
    """A lease past the line."""
    held = leases.lease(folder, sources.gpus()[:1])
    assert held is not None
    return held


def test_a_deleted_ticket_keeps_its_place(fake: FakeGpus, folder: Path) -> None:
    wish = WaitingJob("first", "me", 1, 0, 1.0)
    first = Ticket(folder, wish)
    second = Ticket(folder, WaitingJob("second", "me", 1, 0, 2.0))
    assert second.before() == 1
    for name in files(folder, ".ticket"):
        (folder / name).unlink()
    assert first.before() == 0
    assert second.before() == 1
    assert [each.job for each in waiting(folder)] == ["first", "second"]
    first.close()
    assert second.before() == 0
    assert [each.job for each in waiting(folder)] == ["second"]
    second.close()
    assert not files(folder, "")


def test_the_dead_are_passed_over_and_tidied_away(
    fake: FakeGpus, folder: Path, start: Start
) -> None:
    with get(folder, 4):
        waiter = start(HOLDER, folder, "dead", 0.5, 1, stdin=subprocess.PIPE)
        assert waiter.stdout and waiter.stdout.readline() == "in line\n"
        assert "1 job is before" in reason(folder, at=1)
        assert [each.job for each in waiting(folder)] == ["dead"]
        waiter.kill()
        waiter.wait()
        # What it was starting may hold its files for a moment, until its exec.
        until(lambda: waiting(folder) == [])
        assert len(files(folder, ".ticket")) == 1
    get(folder).release()
    assert files(folder, ".ticket") == []


def test_many_tickets_at_the_same_moment(fake: FakeGpus, folder: Path) -> None:
    held = [take(folder, at=1) for _ in range(20)]
    assert len(waiting(folder)) == 20
    for ticket in held:
        ticket.leave()
    assert not files(folder, "")
