"""What a pull brings arrives whole; what the user did here stays done."""

from __future__ import annotations

import pytest

from remote.tracking.merge import Conflict


@pytest.fixture
def run_id(world):
    """A run that was pulled once."""
    made = world.far.run(world.far.experiment("digits"))
    world.pull()
    return made


def tags(project, run_id):
    return project.client.get_run(run_id).data.tags


def test_what_was_done_here_stays_done(world, run_id):
    client = world.here.client
    client.update_run(run_id, name="my favourite")
    client.set_tag(run_id, "mlflow.note.content", "look at this")
    client.set_tag(run_id, "colour", "blue")
    client.rename_experiment("1", "numbers")
    world.far.log(run_id, range(3, 4))  # so that the run is sent again

    summary = world.pull()

    assert client.get_run(run_id).info.run_name == "my favourite"
    assert tags(world.here, run_id) == {
        "mlflow.note.content": "look at this",
        "mlflow.runName": "my favourite",
        "colour": "blue",
    }
    assert client.get_experiment("1").name == "numbers"
    assert (summary.conflicts, summary.grown_runs, summary.new_experiments) == ((), 1, 0)


def test_what_changed_there_arrives(world, run_id):
    client = world.far.client
    client.update_run(run_id, name="renamed there")
    client.set_tag(run_id, "colour", "green")
    client.set_tag(run_id, "new", "1")
    client.rename_experiment("1", "figures")
    client.set_experiment_tag("1", "team", "a")
    assert world.pull().conflicts == ()
    ours = world.here.client
    assert ours.get_run(run_id).info.run_name == "renamed there"
    assert tags(world.here, run_id) == {
        "colour": "green",
        "mlflow.runName": "renamed there",
        "new": "1",
    }
    assert (ours.get_experiment("1").name, ours.get_experiment("1").tags["team"]) == (
        "figures",
        "a",
    )


def test_a_change_on_both_sides_keeps_ours_and_is_told_once(world, run_id):
    world.here.client.set_tag(run_id, "colour", "blue")
    world.far.client.set_tag(run_id, "colour", "green")
    assert world.pull().conflicts == (
        Conflict("tags", f"{run_id}/colour", "value", "blue", "green"),
    )
    assert tags(world.here, run_id)["colour"] == "blue"
    world.far.log(run_id, range(3, 4))
    assert world.pull().conflicts == ()
    assert tags(world.here, run_id)["colour"] == "blue"


def test_the_same_change_on_both_sides_is_no_conflict(world, run_id):
    for side in (world.here, world.far):
        side.client.set_tag(run_id, "colour", "green")
    assert world.pull().conflicts == ()


def test_status_and_end_time_are_never_mixed(world, run_id):
    """Ours has another end; theirs another status: the pair is one value."""
    world.here.sql("UPDATE runs SET end_time = 5")
    world.far.sql("UPDATE runs SET status = 'FAILED'")
    conflicts = world.pull().conflicts
    assert world.here.sql("SELECT status, end_time FROM runs") == [("FINISHED", 5)]
    assert [(c.column, c.ours, c.theirs) for c in conflicts] == [
        ("status", "FINISHED", "FAILED"),
        ("end_time", 5, 2000000),
    ]


def test_a_tag_removed_there_goes_unless_it_was_changed_here(world, run_id):
    world.far.client.set_tag(run_id, "second", "2")
    world.pull()
    world.here.client.set_tag(run_id, "colour", "blue")
    for key in ("colour", "second"):
        world.far.client.delete_tag(run_id, key)
    conflicts = world.pull().conflicts
    assert tags(world.here, run_id) == {"colour": "blue", "mlflow.runName": "sunny"}
    assert conflicts == (Conflict("tags", f"{run_id}/colour", "value", "blue", None),)


def test_a_tag_removed_here_stays_removed(world, run_id):
    world.here.client.delete_tag(run_id, "colour")
    world.far.client.set_tag(run_id, "colour", "green")
    world.pull()
    assert "colour" not in tags(world.here, run_id)


def test_metrics_logged_on_both_sides_are_all_kept(world, run_id):
    world.here.log(run_id, range(10, 12))
    world.far.log(run_id, range(5, 7))
    assert world.pull().metric_rows == 2
    history = world.here.client.get_metric_history(run_id, "loss")
    assert sorted(point.step for point in history) == [0, 1, 2, 5, 6, 10, 11]
    assert world.here.client.get_run(run_id).data.metrics == {"loss": 1 / 12}


def test_the_latest_metric_is_the_one_of_the_greatest_step(world, run_id):
    world.here.log(run_id, range(3, 5))
    world.far.log(run_id, range(20, 21))
    world.pull()
    assert world.here.sql("SELECT step FROM latest_metrics") == [(20,)]


def test_a_run_deleted_for_good_here_stays_deleted(world, run_id):
    world.here.hard_delete(run_id)
    world.far.log(run_id, range(3, 9))
    world.far.client.set_tag(run_id, "colour", "green")
    world.far.client.set_tag(run_id, "new", "1")
    summary = world.pull()
    for table in ("runs", "tags", "params", "metrics", "latest_metrics"):
        assert world.here.one(f"SELECT count(*) FROM {table}") == 0
    assert (summary.new_runs, summary.grown_runs, summary.artifacts) == (0, 0, ())


def test_a_run_in_the_bin_here_stays_there(world, run_id):
    world.here.client.delete_run(run_id)
    world.far.log(run_id, range(3, 9))
    assert world.pull().conflicts == ()
    info = world.here.client.get_run(run_id).info
    assert info.lifecycle_stage == "deleted"
    assert world.here.one("SELECT deleted_time FROM runs") > 0
    assert len(world.here.client.get_metric_history(run_id, "loss")) == 9


def test_a_run_put_into_the_bin_there_follows(world, run_id):
    world.far.client.delete_run(run_id)
    world.pull()
    assert world.here.client.get_run(run_id).info.lifecycle_stage == "deleted"


def test_a_clean_up_there_takes_nothing_here(world, run_id):
    before = world.here.dump()
    world.far.hard_delete(run_id)
    assert world.pull().deleted_there == (run_id,)
    assert world.here.client.get_run(run_id).data.tags["remote.deleted_on"] == "far"
    world.here.sql("DELETE FROM tags WHERE key = 'remote.deleted_on'")
    assert world.pull().deleted_there == ()
    assert world.here.dump() == before
    second = world.far.run("1")  # takes the rowids that became free
    assert world.pull().metric_rows == 3
    assert len(world.here.client.get_metric_history(second, "loss")) == 3
    assert len(world.here.client.get_metric_history(run_id, "loss")) == 3


def test_rebuilding_the_table_there_loses_nothing(world, run_id):
    """VACUUM renumbers rowids: fewer rows than the watermark says, and new ones among them."""
    second = world.far.run("1", steps=50)
    world.pull()
    world.far.hard_delete(run_id)
    world.far.sql("CREATE TABLE copy AS SELECT * FROM metrics")
    world.far.sql("DELETE FROM metrics")
    world.far.sql("INSERT INTO metrics SELECT * FROM copy ORDER BY step DESC")
    world.far.sql("DROP TABLE copy")
    world.far.log(second, range(50, 53))
    assert world.pull().metric_rows == 3
    assert len(world.here.client.get_metric_history(second, "loss")) == 53


def test_everything_of_a_run_arrives(world):
    far, here = world.far, world.here
    run_id = far.run(far.experiment("digits"), end="FAILED", steps=4)
    far.client.set_experiment_tag("1", "mlflow.note.content", "why we did it")

    summary = world.pull()

    run = here.client.get_run(run_id)
    assert run.info.experiment_id == here.client.get_experiment_by_name("digits").experiment_id
    assert (run.info.status, run.info.start_time, run.info.end_time) == ("FAILED", 1000000, 2000000)
    assert run.info.run_name == "sunny"
    assert run.data.params == {"lr": "0.1"}
    assert run.data.tags == {"colour": "red", "mlflow.runName": "sunny"}
    assert run.data.metrics == {"loss": 0.25}
    points = [
        (p.step, p.timestamp, p.value) for p in here.client.get_metric_history(run_id, "loss")
    ]
    assert points == [(step, 5000 + step, 1 / (step + 1)) for step in range(4)]
    tags = here.client.get_experiment_by_name("digits").tags
    assert tags["mlflow.note.content"] == "why we did it"
    assert (summary.new_runs, summary.grown_runs, summary.new_experiments) == (1, 0, 1)
    assert (summary.metric_rows, summary.run_ids) == (4, (run_id,))
    assert summary.conflicts == summary.refused == summary.left_out == ()


def test_a_run_grows_at_each_pull(world):
    run_id = world.far.run(world.far.experiment("digits"), end=None, steps=2)
    world.pull()
    world.far.log(run_id, range(2, 5))
    summary = world.pull()
    assert (summary.new_runs, summary.grown_runs, summary.metric_rows) == (0, 1, 3)
    assert len(world.here.client.get_metric_history(run_id, "loss")) == 5
    assert world.here.client.get_run(run_id).data.metrics == {"loss": 0.2}
    assert world.here.client.get_run(run_id).info.status == "RUNNING"

    world.far.client.set_terminated(run_id, "KILLED", end_time=77)
    assert world.pull().conflicts == ()
    info = world.here.client.get_run(run_id).info
    assert (info.status, info.end_time) == ("KILLED", 77)


def test_artifacts_of_a_running_run_are_named_each_time(world):
    finished = world.far.run(world.far.experiment("digits"))
    running = world.far.run("1", end=None)
    assert len(world.pull().artifacts) == 2
    summary = world.pull()
    assert [folder.remote for folder in summary.artifacts] == [f"mlruns/1/{running}/artifacts"]
    assert summary.grown_runs == 0 and summary.run_ids == ()
    world.far.client.set_terminated(running)
    assert len(world.pull().artifacts) == 1, finished
    assert world.pull().artifacts == ()


def test_artifacts_that_never_arrived_are_named_again(world):
    world.far.run(world.far.experiment("digits"))
    first = world.apply(world.delta())  # and the connection breaks before rsync ran
    assert world.pull().artifacts == first.artifacts != ()
    assert world.pull().artifacts == ()
