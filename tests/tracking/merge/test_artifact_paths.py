"""No record may make the local UI serve a file from outside the project."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remote.tracking.merge.artifact_paths import artifacts_below, is_safe_id, lies_elsewhere

ROOTS = ["/srv/a proj/é", "/home/me/proj"]
OK = "mlruns/3/abc/artifacts"


@pytest.mark.parametrize(
    "location",
    [
        "/home/me/proj/mlruns/3/abc/artifacts",
        "/home/me/proj//mlruns/./3/x/../abc/artifacts/",
        "file:///home/me/proj/mlruns/3/abc/artifacts",
        "file://localhost/home/me/proj/mlruns/3/abc/artifacts",
        "file:///srv/a%20proj/%C3%A9/mlruns/3/abc/artifacts",
        "/srv/a proj/é/mlruns/3/abc/artifacts",
        "//home/me/proj/mlruns/3/abc/artifacts",
        "/home/me/proj/.remote/jobs/j-1/code/mlruns/3/abc/artifacts",
    ],
)
def test_a_folder_below_the_targets_mlruns(location):
    assert artifacts_below(location, "abc", roots=ROOTS) == OK


def test_a_folder_kept_by_the_targets_own_server():
    for location in ("mlflow-artifacts:/3/abc/artifacts", "mlflow-artifacts:/../3/abc/artifacts"):
        assert artifacts_below(location, "abc", roots=ROOTS) == "mlartifacts/3/abc/artifacts"


@pytest.mark.parametrize(
    "location",
    [
        "/etc",
        "/etc/mlruns/3/abc/artifacts",
        "/home/me/proj",
        "/home/me/proj/mlruns",
        "/home/me/proj/abc/artifacts",
        "/home/me/proj/mlruns/3/abc",
        "/home/me/proj/mlruns/3/other/artifacts",
        "/home/me/proj/mlruns/../../.ssh/abc/artifacts",
        "/home/me/proj/mlruns/../secret/abc/artifacts",
        "/home/me/proj2/mlruns/3/abc/artifacts",
        "file:///home/me/proj/mlruns/%2e%2e/%2e%2e/x/abc/artifacts",
        "file:///home/me/proj/mlruns/3%00/abc/artifacts",
        "file://elsewhere/home/me/proj/mlruns/3/abc/artifacts",
        "file:home/me/proj/mlruns/3/abc/artifacts",
        "mlruns/3/abc/artifacts",
        "./mlruns/3/abc/artifacts",
        "~/proj/mlruns/3/abc/artifacts",
        "s3://bucket/mlruns/3/abc/artifacts",
        "mlflow-artifacts://host/3/abc/artifacts",
        "mlflow-artifacts://[/3/abc/artifacts",
        "//[/mlruns/3/abc/artifacts",
        "s3://\u2100/mlruns/3/abc/artifacts",
        "/home/me/proj/mlruns/3\n/abc/artifacts",
        "",
        None,
        b"/home/me/proj/mlruns/3/abc/artifacts",
        7,
    ],
)
def test_everything_else_is_refused(location):
    assert artifacts_below(location, "abc", roots=ROOTS) is None
    assert lies_elsewhere(location) == (location == "s3://bucket/mlruns/3/abc/artifacts")


parts = st.sampled_from(
    ["/", "..", ".", "mlruns", "abc", "artifacts", "%2e%2e", "home/me/proj", "3"]
)


@given(st.lists(parts).map("/".join), st.sampled_from(["", "/home/me/proj/", "file://", "x:/"]))
def test_nothing_that_is_taken_leaves_mlruns(path, start):
    found = artifacts_below(start + path, "abc", roots=ROOTS)
    assert found is None or (
        found.split("/")[0] == "mlruns" and ".." not in found.split("/") and "//" not in found
    )


@pytest.mark.parametrize(
    "bad", ["", "..", "a/b", "a b", "a\n", "ä", "x" * 65, None, 3, b"abc", "a%2f"]
)
def test_ids_that_may_not_become_paths(bad):
    assert not is_safe_id(bad)


def test_ids_of_mlflow():
    assert is_safe_id("d2a05fcf21544564bda232952bb397dd")
    assert is_safe_id("m-f0f56da8d1d34560b3b47b635e32e0a5")


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


def test_a_percent_encoded_url_is_taken(world):
    run_id = world.far.run(world.far.experiment("digits"))
    url = (world.far.mlruns / "1" / run_id / "artifacts").as_uri()
    assert "%20" in url
    world.far.sql("UPDATE runs SET artifact_uri = ?", url)
    assert world.pull().artifacts[0].remote == f"mlruns/1/{run_id}/artifacts"
    info = world.here.client.get_run(run_id).info
    assert info.artifact_uri == f"{world.here.mlruns}/1/{run_id}/artifacts"


def test_an_experiments_own_location_is_never_taken(world):
    run_id = world.far.run(world.far.experiment("digits"))
    world.far.sql("UPDATE experiments SET artifact_location = '/etc'")
    world.pull()
    assert world.here.client.get_run(run_id).info.experiment_id == "1"
    assert world.here.sql("SELECT artifact_location FROM experiments") == [
        (f"{world.here.mlruns}/0",),
        (f"{world.here.mlruns}/1",),
    ]


def test_a_model_elsewhere_is_refused(world):
    world.far.experiment("digits")
    model = world.far.client.create_logged_model("1", name="net", params={"a": "1"})
    world.far.sql("UPDATE logged_models SET artifact_location = '/etc'")
    assert [each.kind for each in world.pull().refused] == ["model"]
    for table in ("logged_models", "logged_model_params", "logged_model_tags"):
        assert world.here.one(f"SELECT count(*) FROM {table}") == 0, model


def forged(world, *statements):
    """A delta as a hostile server might send it."""
    file = world.delta()
    with closing(sqlite3.connect(file)) as database, database:
        for statement in statements:
            database.execute(statement)
    return file


def test_an_id_that_would_leave_the_folder_is_refused(world):
    world.far.run(world.far.experiment("digits"))
    world.far.sql(
        "UPDATE runs SET run_uuid = '../../x', artifact_uri = ?", "/mlruns/../../x/artifacts"
    )
    summary = world.apply(forged(world, "UPDATE meta SET value = '[\"/\"]' WHERE key = 'roots'"))
    assert [each.id for each in summary.refused] == ["../../x"]
    assert (summary.new_runs, summary.artifacts) == (0, ())


def test_a_view_in_the_delta_is_not_read(world):
    world.far.run(world.far.experiment("digits"))
    file = forged(
        world,
        "DROP TABLE params",
        "CREATE VIEW params AS SELECT 'k' AS key, 'v' AS value, run_uuid FROM runs",
    )
    world.apply(file)
    assert world.here.sql("SELECT * FROM params") == []


def test_metrics_of_runs_that_are_not_theirs_are_not_taken(world):
    mine = world.here.run(world.here.experiment("mine"))
    world.far.run(world.far.experiment("digits"))
    world.apply(forged(world, f"UPDATE metrics SET run_uuid = '{mine}', value = 99"))
    assert len(world.here.client.get_metric_history(mine, "loss")) == 3
