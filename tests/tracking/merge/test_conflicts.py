"""Conflicts are kept until the user has settled them."""

from __future__ import annotations

import shutil

import pytest

from remote.config import Project
from remote.errors import StoreError
from remote.operations.tracking.conflict_list import listed
from remote.operations.tracking.destination import destination
from remote.tracking.merge.base import backup_of
from remote.tracking.merge.conflicts import open_conflicts, resolve


@pytest.fixture
def run_id(world):
    """A run with a tag and a name that were changed here and there."""
    made = world.far.run(world.far.experiment("digits"))
    world.pull()
    for project, colour, name in ((world.here, "blue", "ours"), (world.far, "green", "theirs")):
        project.client.set_tag(made, "colour", colour)
        project.client.update_run(made, name=name)
    world.pull()
    return made


def found(world):
    return open_conflicts(world.base(), world.here.store)


def told(world):
    return sorted((c.conflict.table, c.conflict.ours, c.conflict.theirs) for c in found(world))


BOTH = [("runs", "ours", "theirs"), ("tags", "blue", "green"), ("tags", "ours", "theirs")]


def test_they_are_listed_as_long_as_the_sides_differ(world, run_id):
    assert told(world) == BOTH
    world.pull()
    assert told(world) == BOTH
    world.here.client.set_tag(run_id, "colour", "green")
    assert told(world) == [BOTH[0], BOTH[2]]


def test_theirs_can_be_taken(world, run_id):
    resolve(world.base(), world.here.store, found(world), theirs=True)
    run = world.here.client.get_run(run_id)
    assert (run.info.run_name, run.data.tags["colour"]) == ("theirs", "green")
    assert told(world) == []
    before = world.here.dump()
    assert world.pull().conflicts == () and world.here.dump() == before


def test_ours_can_be_kept_for_good(world, run_id):
    resolve(world.base(), world.here.store, found(world), theirs=False)
    assert told(world) == []
    assert world.here.client.get_run(run_id).info.run_name == "ours"
    world.pull()
    assert told(world) == []


def test_a_later_change_there_is_a_new_conflict(world, run_id):
    resolve(world.base(), world.here.store, found(world), theirs=False)
    world.far.client.set_tag(run_id, "colour", "black")
    world.pull()
    assert told(world) == [("tags", "blue", "black")]


def test_columns_that_belong_together_are_taken_together(world):
    world.far.run(world.far.experiment("digits"))
    world.pull()
    world.here.sql("UPDATE runs SET end_time = 5")
    world.far.sql("UPDATE runs SET status = 'FAILED'")
    world.pull()
    status = [each for each in found(world) if each.conflict.column == "status"]
    resolve(world.base(), world.here.store, status, theirs=True)
    assert world.here.sql("SELECT status, end_time FROM runs") == [("FAILED", 2000000)]
    assert told(world) == []


def test_a_row_removed_there_can_be_removed_here(world, run_id):
    resolve(world.base(), world.here.store, found(world), theirs=True)
    world.here.client.set_tag(run_id, "colour", "blue")
    world.far.client.delete_tag(run_id, "colour")
    world.pull()
    assert told(world) == [("tags", "blue", None)]
    resolve(world.base(), world.here.store, found(world), theirs=True)
    assert "colour" not in world.here.client.get_run(run_id).data.tags


def test_a_name_that_another_experiment_has_cannot_be_taken(world, run_id):
    world.here.experiment("numbers")
    world.far.client.rename_experiment("1", "numbers")
    world.pull()
    (conflict,) = (each for each in found(world) if each.conflict.table == "experiments")
    assert (conflict.conflict.ours, conflict.conflict.theirs) == ("digits", "numbers")
    with pytest.raises(StoreError, match="can't be taken"):
        resolve(world.base(), world.here.store, [conflict], theirs=True)
    assert world.here.client.get_experiment("1").name == "digits"
    world.here.client.rename_experiment("2", "other")
    resolve(world.base(), world.here.store, [conflict], theirs=True)
    assert world.here.client.get_experiment("1").name == "numbers"


def test_a_lost_base_has_a_copy(world, run_id):
    """So that not even what was deleted here for good comes back."""
    second = world.far.run("1")
    world.pull()
    world.here.hard_delete(second)
    world.base().unlink()
    world.far.log(second, range(3, 5))
    assert world.pull().new_runs == 0
    assert world.here.one("SELECT count(*) FROM runs") == 1
    assert told(world) == BOTH


def test_the_copy_of_a_damaged_base_says_where_they_are_from(world, run_id):
    project = Project(world.here.root, {})
    base = destination(project).base("far")
    base.parent.mkdir()
    shutil.copy(world.base(), backup_of(base))
    base.write_bytes(b"this is no database")
    assert [entry.source for entry in listed(project)] == ["far"] * 3
