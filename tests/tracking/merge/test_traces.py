"""Traces with their spans, tags and assessments."""

from __future__ import annotations

from urllib.parse import quote

import pytest


@pytest.fixture(autouse=True)
def tracking():
    """Traces and data sets go where the process tracks; that is put right afterwards."""
    import mlflow

    before = mlflow.get_tracking_uri()
    yield
    mlflow.set_tracking_uri(before)


@pytest.fixture
def traced(world):
    """A trace of two spans on the server, with a tag and an assessment, that was pulled once."""
    trace_id = trace(world.far, world.far.experiment("llm"))
    world.pull()
    return trace_id


def trace(project, experiment):
    import mlflow
    from mlflow.entities import AssessmentSource, Feedback

    mlflow.set_tracking_uri(f"sqlite:///{project.store}")
    client = project.client
    root = client.start_trace(
        "ask", inputs={"question": "why?"}, experiment_id=experiment, tags={"colour": "red"}
    )
    child = client.start_span(
        "model", trace_id=root.trace_id, parent_id=root.span_id, inputs={"prompt": "why?"}
    )
    client.end_span(root.trace_id, child.span_id, outputs={"text": "because"})
    client.end_trace(root.trace_id, outputs={"answer": "because"})
    mlflow.flush_trace_async_logging()
    mlflow.log_assessment(
        root.trace_id,
        Feedback(name="right", value=True, source=AssessmentSource("HUMAN", "ada")),
    )
    return root.trace_id


def rows(project, table):
    return sorted(project.sql(f"SELECT * FROM {table}"), key=repr)


def test_a_trace_arrives_whole(world, traced):
    ours = world.here.client.get_trace(traced)
    assert [span.name for span in ours.data.spans] == ["ask", "model"]
    assert ours.data.spans[1].outputs == {"text": "because"}
    assert ours.info.tags["colour"] == "red"
    assert [each.value for each in ours.info.assessments] == [True]
    location = f"{world.here.mlruns}/1/traces/{traced}/artifacts"
    assert ours.info.tags["mlflow.artifactLocation"] == location
    for table in ("trace_info", "spans", "trace_request_metadata", "assessments"):
        assert rows(world.here, table) == rows(world.far, table)


def test_it_is_counted_and_its_artifacts_are_named(world):
    trace_id = trace(world.far, world.far.experiment("llm"))
    summary = world.pull()
    assert (summary.new_traces, summary.left_out) == (1, ())
    assert [each.local for each in summary.artifacts] == [f"mlruns/1/traces/{trace_id}/artifacts"]
    again = world.pull()
    assert (again.new_traces, again.artifacts) == (0, ())


def test_its_experiment_has_another_number_here(world):
    world.here.experiment("other")
    trace_id = trace(world.far, world.far.experiment("llm"))
    world.pull()
    assert world.here.client.get_trace(trace_id).info.experiment_id == "2"
    assert world.here.one("SELECT DISTINCT experiment_id FROM spans") == 2


def test_tags_merge_three_way(world, traced):
    world.here.client.set_trace_tag(traced, "mine", "1")
    world.here.client.set_trace_tag(traced, "colour", "blue")
    world.far.client.set_trace_tag(traced, "colour", "green")
    world.far.client.set_trace_tag(traced, "theirs", "2")
    (conflict,) = world.pull().conflicts
    assert (conflict.table, conflict.ours, conflict.theirs) == ("trace_tags", "blue", "green")
    tags = world.here.client.get_trace(traced).info.tags
    assert (tags["mine"], tags["colour"], tags["theirs"]) == ("1", "blue", "2")


def test_spans_that_come_later_replace_the_unfinished(world, traced):
    world.far.sql(
        "UPDATE spans SET status = 'ERROR', end_time_unix_nano = end_time_unix_nano + 1,"
        " content = replace(content, 'because', 'dunno') WHERE name = 'model'"
    )
    world.pull()
    assert rows(world.here, "spans") == rows(world.far, "spans")
    assert world.here.client.get_trace(traced).data.spans[1].outputs == {"text": "dunno"}


def test_one_deleted_here_stays_deleted(world, traced):
    world.here.client.delete_traces("1", trace_ids=[traced])
    world.far.client.set_trace_tag(traced, "colour", "green")
    assert world.pull().new_traces == 0
    for table in ("trace_info", "trace_tags", "spans", "assessments"):
        assert world.here.one(f"SELECT count(*) FROM {table}") == 0


def test_one_deleted_there_is_kept(world, traced):
    before = world.here.dump()
    world.far.client.delete_traces("1", trace_ids=[traced])
    world.pull()
    assert world.here.dump() == before


def test_an_assessment_removed_there_goes(world, traced):
    identity = world.far.one("SELECT assessment_id FROM assessments")
    import mlflow

    mlflow.delete_assessment(trace_id=traced, assessment_id=identity)
    world.pull()
    assert world.here.client.get_trace(traced).info.assessments == []


def test_a_trace_hangs_on_its_run(world):
    experiment = world.far.experiment("llm")
    run_id = world.far.run(experiment)
    trace_id = trace(world.far, experiment)
    world.far.client.link_traces_to_run([trace_id], run_id)
    world.pull()
    found = world.here.sql("SELECT source_id, destination_id FROM entity_associations")
    assert found == [(trace_id, run_id)]


def test_an_association_waits_for_both_its_ends(world):
    world.far.sql("INSERT INTO entity_associations VALUES ('a', 'trace', 'tr-0', 'run', 'r', 1)")
    world.pull()
    assert world.here.one("SELECT count(*) FROM entity_associations") == 0


def test_a_hostile_trace_is_refused(world, traced):
    world.far.sql("UPDATE trace_tags SET value = '/etc/' WHERE key = 'mlflow.artifactLocation'")
    world.far.sql("UPDATE trace_info SET trace_name = 'evil'")
    (refused,) = world.pull().refused
    assert (refused.kind, refused.id) == ("trace", traced)
    assert world.here.one("SELECT trace_name FROM trace_info") == "ask"


def test_an_evaluation_data_set_arrives(world):
    experiment = world.far.experiment("llm")
    world.here.experiment("other")
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{world.far.store}")
    made = world.far.client.create_dataset("questions", experiment_id=experiment, tags={"k": "v"})
    made.merge_records([{"inputs": {"q": "why?"}, "expectations": {"a": "because"}}])
    world.pull()
    assert world.here.sql("SELECT inputs FROM evaluation_dataset_records") == world.far.sql(
        "SELECT inputs FROM evaluation_dataset_records"
    )
    mlflow.set_tracking_uri(f"sqlite:///{world.here.store}")
    ours = world.here.client.get_dataset(made.dataset_id)
    assert (ours.name, ours.tags["k"], len(ours.records)) == ("questions", "v", 1)
    assert ours.experiment_ids == ["2"]


ARCHIVE = ("mlflow.trace.spansLocation", "mlflow.trace.archiveLocation")


def archive(project, trace_id, place):
    """What MLflow's archive leaves of a trace (SqlAlchemyStore._finalize_archived_trace)."""
    project.sql("UPDATE spans SET content = ''")
    for key, value in zip(ARCHIVE, ("ARCHIVE_REPO", place)):
        project.sql("INSERT OR REPLACE INTO trace_tags VALUES (?, ?, ?)", key, value, trace_id)


def archive_tags(project):
    rows = project.sql("SELECT key, value FROM trace_tags WHERE key IN (?, ?)", *ARCHIVE)
    return dict(rows)


def test_spans_that_are_here_stay_when_they_are_archived_there(world, traced):
    before, tags = rows(world.here, "spans"), archive_tags(world.here)
    archive(world.far, traced, "file:///srv/archive")
    world.far.client.set_trace_tag(traced, "later", "yes")
    assert world.pull().refused == ()
    assert (rows(world.here, "spans"), archive_tags(world.here)) == (before, tags)
    assert world.here.client.get_trace(traced).info.tags["later"] == "yes"
    assert [span.name for span in world.here.client.get_trace(traced).data.spans] != []
    before = world.here.dump()
    world.pull()
    assert world.here.dump() == before


def test_what_was_archived_before_is_read_from_where_it_is_then(world):
    trace_id = trace(world.far, world.far.experiment("llm"))
    there = f"file://{quote(str(world.far.mlruns))}/1/traces/{trace_id}/artifacts"
    for place, here in (("s3://bucket/x", "s3://bucket/x"), (there, None)):
        archive(world.far, trace_id, place)
        summary = world.pull()
        assert summary.refused == ()
        local = f"{world.here.mlruns}/1/traces/{trace_id}/artifacts"
        assert archive_tags(world.here)[ARCHIVE[1]] == (here or local)


@pytest.mark.parametrize("place", ["file:///srv/archive/1/traces/x/artifacts", "file://./secret"])
def test_an_archive_elsewhere_on_the_server_is_refused(world, place):
    trace_id = trace(world.far, world.far.experiment("llm"))
    archive(world.far, trace_id, place)
    (refusal,) = world.pull().refused
    assert refusal.id == trace_id and place in refusal.reason
    assert world.here.one("SELECT count(*) FROM trace_tags") == 0
