"""A dry run tells what a merge would do, and does nothing."""

from __future__ import annotations

from tests.tracking.merge.test_traces import trace, tracking  # noqa: F401


def files(world):
    """All that a merge may write to; who only reads makes what SQLite keeps beside a WAL store."""
    paths = [path for path in world.here.root.rglob("*") if path.is_file()]
    lasting = [path for path in paths if not path.name.endswith(("-shm", "-wal"))]
    return world.here.dump(), {path: path.read_bytes() for path in lasting}


def both(world):
    """The summaries of a dry run and of the merge itself."""
    file, before = world.delta(), files(world)
    dry = world.apply(file, dry_run=True)
    assert files(world) == before
    real = world.apply(file)
    return dry, real


def test_the_first_pull(world):
    experiment = world.far.experiment("digits")
    first = world.far.run(experiment, steps=40)
    world.far.run(experiment, end=None)
    trace(world.far, experiment)
    world.far.client.create_logged_model(experiment, name="net", source_run_id=first)
    dry, real = both(world)
    assert dry == real
    assert (real.new_runs, real.new_traces, real.new_models, real.metric_rows) == (2, 1, 1, 43)
    assert len(real.artifacts) == 4


def test_a_later_pull_with_changes_on_both_sides(world):
    experiment = world.far.experiment("digits")
    first, second, third = (world.far.run(experiment, steps=10) for _ in range(3))
    world.pull()
    world.here.client.set_tag(first, "colour", "blue")
    world.far.client.set_tag(first, "colour", "green")
    world.far.client.delete_tag(second, "colour")
    world.far.log(second, range(10, 15))
    world.here.log(second, range(12, 20))
    world.far.hard_delete(third)
    world.far.run(experiment)
    world.far.client.rename_experiment("1", "numbers")
    dry, real = both(world)
    assert dry == real
    assert (real.new_runs, real.metric_rows, real.deleted_there) == (1, 5, (third,))
    assert [each.ours for each in real.conflicts] == ["blue"]


def test_a_run_that_is_refused(world):
    experiment = world.far.experiment("digits")
    bad = world.far.run(experiment)
    world.far.sql("UPDATE runs SET artifact_uri = '/etc'")
    dry, real = both(world)
    assert dry == real and [each.id for each in real.refused] == [bad]


def test_a_store_that_is_written_to_in_wal_mode(world):
    world.here.sql("PRAGMA journal_mode = WAL")
    world.far.run(world.far.experiment("digits"))
    dry, real = both(world)
    assert dry == real and real.new_runs == 1


def test_twice_and_then_nothing_new(world):
    world.far.run(world.far.experiment("digits"))
    world.pull()
    dry, real = both(world)
    assert dry == real == real.replace(new_runs=0, metric_rows=0, run_ids=())
