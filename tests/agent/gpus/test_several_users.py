"""Users who share a machine: what one makes serves, or harms, no other."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from remote.agent import processes
from remote.agent.gpus.lease import holders, lease_file
from remote.agent.gpus.tickets import waiting
from tests.agent.gpus.jobs import (
    HOLDER,
    Start,
    files,
)
from tests.agent.gpus.users import as_user, lines_until
from tests.fakegpu import uuid


def test_two_users_share_the_machine(shared: Path, start: Start) -> None:
    nobody, other = 65534, 4321
    first = as_user(start, nobody, HOLDER, shared, "first", 1, 3)
    lines_until(first, "got")
    second = as_user(start, other, HOLDER, shared, "second", 2, 4)
    (line,) = lines_until(second, "waiting for 4")[1:]
    user = processes.user_name(nobody)
    assert line.count(f"a job of {user}, process {first.pid}") == 3, line
    third = as_user(start, nobody, HOLDER, shared, "third", 3, 1)
    assert lines_until(third, "waiting")[-1] == "waiting: 1 job is before this one\n"
    assert [each.job for each in waiting(shared)] == ["second", "third"]
    first.kill()
    lines_until(second, "got")
    # The files are those of the first, and serve the second all the same.
    assert lease_file(shared, uuid(0)).stat().st_uid == nobody
    assert {each.user for each in holders(shared).values()} == {processes.user_name(other)}
    second.communicate("")
    lines_until(third, "got")
    assert [each.user for each in holders(shared).values()] == [user]


def test_the_ticket_of_another_users_dead_waiter_is_passed_over(shared: Path, start: Start) -> None:
    holder = as_user(start, 4321, HOLDER, shared, "holder", 1, 4)
    lines_until(holder, "got")
    dead = as_user(start, 65534, HOLDER, shared, "dead", 2, 1)
    lines_until(dead, "waiting")
    dead.kill()
    dead.wait()
    holder.communicate("")
    other = as_user(start, 4321, HOLDER, shared, "other", 3, 4)
    lines_until(other, "got")
    # It can't be deleted there, which hurts nobody, and its own user's next job does it.
    assert len(files(shared, ".ticket")) == 1
    last = as_user(start, 65534, HOLDER, shared, "last", 4, 1)
    lines_until(last, "waiting")
    assert [each.job for each in waiting(shared)] == ["last"]
    assert len(files(shared, ".ticket")) == 1


def test_files_of_others_are_kept_fresh_by_reading(shared: Path, start: Start) -> None:
    path = lease_file(shared, uuid(0))
    path.touch(mode=0o644)
    os.utime(path, (1, 1))
    if os.statvfs(shared).f_flag & os.ST_NOATIME:
        pytest.skip("this file system keeps no times of reading")
    code = """if True:
        import sys
        from pathlib import Path
        from remote.agent.gpus import lock_files as locks
        with locks.open_plain(Path(sys.argv[1])) as file:
            locks.keep_fresh(file)
    """
    assert as_user(start, 65534, code, path).wait(timeout=60) == 0
    assert path.stat().st_atime > 1 and path.stat().st_mtime == 1


def test_a_file_that_others_may_not_read_is_refused(shared: Path, start: Start) -> None:
    path = lease_file(shared, uuid(0))
    path.touch(mode=0o600)
    first = as_user(start, 65534, HOLDER, shared, "first", 1, 4)
    (line,) = lines_until(first, "waiting")[1:]
    assert f"(GPU 0: {path} can't be used: Permission denied)" in line
    second = as_user(start, 65534, HOLDER, shared, "second", 0, 3)
    lines_until(second, "got")
