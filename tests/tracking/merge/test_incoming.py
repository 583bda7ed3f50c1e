"""What may come in: nothing that leads outside, and no registered model over one of ours."""

from __future__ import annotations

import pytest

from remote.tracking import delta, merge
from remote.tracking.merge import incoming


@pytest.fixture
def run_id(world):
    """A run there with a registered model, version 1 of `clf`."""
    experiment = world.far.experiment("digits")
    made = world.far.run(experiment)
    register(world.far, experiment, made)
    return made


def register(project, experiment, run_id, name="clf"):
    client = project.client
    if not any(model.name == name for model in client.search_registered_models()):
        client.create_registered_model(name, tags={"team": "a"}, description="digits")
    source = f"{project.mlruns}/{experiment}/{run_id}/artifacts/model"
    version = client.create_model_version(name, source, run_id=run_id, tags={"k": "v"})
    client.set_registered_model_alias(name, "champion", version.version)
    return version


def pull(world):
    known = merge.pull_state(world.base(), store=world.here.store)
    out = world.folder / "with-registry.delta"
    delta.write(world.far.store, out, known, registry=True)
    summary = world.apply(out)
    assert world.here.broken_links() == []
    return summary


def test_it_stays_there_unless_asked_for_and_that_is_said(world, run_id):
    assert world.pull().left_out == ("model_versions", "registered_models")[1:]
    assert world.here.client.search_registered_models() == []


def test_it_arrives_with_its_files_where_the_run_is(world, run_id):
    world.here.experiment("other")
    assert pull(world).new_versions == 1
    client = world.here.client
    version = client.get_model_version_by_alias("clf", "champion")
    assert version.source == f"{world.here.mlruns}/2/{run_id}/artifacts/model"
    assert (version.run_id, version.tags) == (run_id, {"k": "v"})
    assert client.get_registered_model("clf").tags == {"team": "a"}
    before = world.here.dump()
    assert pull(world).new_versions == 0 and world.here.dump() == before


def test_asked_for_later_it_comes_then(world, run_id):
    world.pull()
    assert pull(world).new_versions == 1


def test_a_clash_keeps_ours_whole_and_is_told(world, run_id):
    mine = world.here.run(world.here.experiment("mine"))
    register(world.here, "1", mine)
    world.here.client.set_model_version_tag("clf", "1", "whose", "mine")
    before = world.here.sql("SELECT * FROM model_versions")
    tags = world.here.sql("SELECT * FROM model_version_tags")
    register(world.far, "1", run_id)  # version 2, which is free here
    summary = pull(world)
    assert [(each.kind, each.id) for each in summary.refused] == [("model version", "clf/1")]
    assert world.here.sql("SELECT * FROM model_versions WHERE version = 1") == before
    assert world.here.sql("SELECT * FROM model_version_tags WHERE version = 1") == tags
    assert world.here.client.get_model_version("clf", "2").run_id == run_id


def test_an_alias_moved_here_stays(world, run_id):
    pull(world)
    register(world.far, "1", run_id)
    world.here.client.set_registered_model_alias("clf", "mine", "1")
    summary = pull(world)
    client = world.here.client
    assert client.get_model_version_by_alias("clf", "champion").version == 2
    assert client.get_model_version_by_alias("clf", "mine").version == 1
    assert summary.conflicts == ()


def test_a_version_deleted_here_stays_deleted(world, run_id):
    pull(world)
    world.here.client.delete_model_version("clf", "1")
    world.far.client.update_model_version("clf", "1", description="new")
    assert pull(world).new_versions == 0
    assert world.here.client.search_model_versions() == []


def test_a_version_deleted_there_is_kept(world, run_id):
    pull(world)
    before = world.here.sql("SELECT * FROM model_versions")
    world.far.client.delete_model_version("clf", "1")
    summary = pull(world)
    assert (summary.refused, summary.conflicts) == ((), ())
    assert world.here.sql("SELECT * FROM model_versions") == before


def test_a_version_whose_files_lie_elsewhere_is_refused(world, run_id):
    world.far.sql("UPDATE model_versions SET source = '/etc/passwd', storage_location = NULL")
    (refused,) = pull(world).refused
    assert refused.id == "clf/1" and "/etc/passwd" in refused.reason
    assert world.here.one("SELECT count(*) FROM model_versions") == 0


def test_a_version_in_a_bucket_is_taken_as_it_is(world, run_id):
    world.far.sql("UPDATE model_versions SET source = 's3://b/m', storage_location = 's3://b/m'")
    pull(world)
    assert world.here.one("SELECT source FROM model_versions") == "s3://b/m"


def test_a_run_elsewhere_is_refused_and_named(world):
    good, bad = (world.far.run(n) for n in [world.far.experiment("digits")] * 2)
    world.far.sql("UPDATE runs SET artifact_uri = '/etc' WHERE run_uuid = ?", bad)
    for _ in range(2):
        summary = world.pull()
        assert [(each.kind, each.id) for each in summary.refused] == [("run", bad)]
        assert "/etc" in summary.refused[0].reason
    for table in ("runs", "params", "tags", "metrics", "latest_metrics"):
        assert world.here.sql(f"SELECT DISTINCT run_uuid FROM {table}") == [(good,)]
    assert not any("/etc" in line for line in world.here.dump())


def test_a_refused_run_that_was_mended_there_arrives_whole(world):
    run_id = world.far.run(world.far.experiment("digits"))
    good = world.far.one("SELECT artifact_uri FROM runs")
    world.far.sql("UPDATE runs SET artifact_uri = '/etc'")
    world.pull()
    world.far.sql("UPDATE runs SET artifact_uri = ?", good)
    assert world.pull().refused == ()
    world.pull()  # the metrics were sent while the run was refused: now once more
    assert len(world.here.client.get_metric_history(run_id, "loss")) == 3


def test_a_run_that_is_refused_once_it_was_pulled_is_asked_for_again(world):
    """Whether it fits isn't told by its rows alone: the target's folder may have had another name."""
    run_id = world.far.run(world.far.experiment("digits"))
    world.pull()
    world.far.client.set_tag(run_id, "note", "kept")
    roots = "UPDATE meta SET value = '[\"/elsewhere\"]' WHERE key = 'roots'"
    (refused,) = world.apply(world.forged(roots)).refused
    assert (refused.id, world.pull().refused) == (run_id, ())
    assert world.here.client.get_run(run_id).data.tags["note"] == "kept"


def test_a_version_whose_run_comes_from_elsewhere_later_comes_then(world, run_id):
    other = world.project("other")
    experiment = other.experiment("letters")
    source = f"{world.far.mlruns}/{experiment}/{other.run(experiment)}/artifacts/model"
    world.far.client.create_model_version("clf", source)
    assert [each.id for each in pull(world).refused] == ["clf/2"]
    world.pull(other)
    assert pull(world).new_versions == 1


def test_a_model_elsewhere_is_refused(world):
    world.far.experiment("digits")
    model = world.far.client.create_logged_model("1", name="net", params={"a": "1"})
    world.far.sql("UPDATE logged_models SET artifact_location = '/etc'")
    assert [each.kind for each in world.pull().refused] == ["model"]
    for table in ("logged_models", "logged_model_params", "logged_model_tags"):
        assert world.here.one(f"SELECT count(*) FROM {table}") == 0, model


def test_an_id_that_would_leave_the_folder_is_refused(world):
    world.far.run(world.far.experiment("digits"))
    world.far.sql(
        "UPDATE runs SET run_uuid = '../../x', artifact_uri = ?", "/mlruns/../../x/artifacts"
    )
    summary = world.apply(world.forged("UPDATE meta SET value = '[\"/\"]' WHERE key = 'roots'"))
    assert [each.id for each in summary.refused] == ["../../x"]
    assert (summary.new_runs, summary.artifacts) == (0, ())


def test_a_run_whose_experiment_does_not_come_is_refused(world):
    run_id = world.far.run(world.far.experiment("digits"))
    summary = world.apply(world.forged("UPDATE runs SET experiment_id = 99"))
    (refused,) = summary.refused
    assert (refused.id, refused.reason) == (run_id, "its experiment doesn't exist locally")
    for table in ("runs", "tags", "params", "metrics", "latest_metrics"):
        assert world.here.one(f"SELECT count(*) FROM {table}") == 0


@pytest.mark.parametrize("place", ["s3://bucket/it's/1/artifacts", "gs://bucket/%20/it"])
def test_what_has_its_artifacts_in_a_bucket_keeps_their_address(world, place):
    run_id = world.far.run(world.far.experiment("digits"))
    model = world.far.client.create_logged_model("1", "net", run_id).model_id
    world.far.sql("UPDATE runs SET artifact_uri = ?", place)
    world.far.sql("UPDATE logged_models SET artifact_location = ?", place)
    summary = world.pull()
    assert (summary.new_runs, summary.artifacts, summary.refused) == (1, (), ())
    assert world.here.client.get_run(run_id).info.artifact_uri == place
    assert world.here.client.get_logged_model(model).artifact_location == place
    # What is still to be logged there finds a place of this machine.
    assert world.here.client.get_experiment("1").artifact_location == f"{world.here.mlruns}/1"


@pytest.mark.parametrize("type_there", ["SOMETHING_NEW", "DATASET", "MODEL_INPUT"])
def test_an_input_comes_only_with_both_its_ends(world, type_there):
    """An end of an unknown type is nowhere here, as is a thing that did not come."""
    run_id = world.far.run(world.far.experiment("digits"))
    world.far.sql(
        "INSERT INTO inputs (input_uuid, source_type, source_id, destination_type, destination_id)"
        " VALUES ('i', ?, 'gone', 'RUN', ?)",
        type_there,
        run_id,
    )
    world.far.sql("INSERT INTO input_tags (input_uuid, name, value) VALUES ('i', 'k', 'v')")
    world.pull()
    assert (
        world.here.sql("SELECT * FROM inputs") == world.here.sql("SELECT * FROM input_tags") == []
    )


@pytest.mark.parametrize("few", [0, 10_000])
def test_of_added_rows_those_come_whose_run_is_here(world, monkeypatch, few):
    """Looked for among all that was pulled, or by what the delta names."""
    monkeypatch.setattr(incoming, "FEW", few)
    experiment = world.far.experiment("digits")
    stays, goes = (world.far.run(experiment, steps=2) for _ in range(2))
    assert world.pull().metric_rows == 4
    world.here.hard_delete(goes)
    for run in (stays, goes):
        # No later than the last: nothing but the added row says so.
        world.far.log(run, range(-2, -1))
    assert world.pull().metric_rows == 1
    rows = world.here.sql("SELECT run_uuid, step FROM metrics ORDER BY step")
    assert rows == [(stays, step) for step in (-2, 0, 1)]
