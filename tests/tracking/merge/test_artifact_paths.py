"""No record may make the local UI serve a file from outside the project."""

from __future__ import annotations

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


def test_a_percent_encoded_url_is_taken(world):
    run_id = world.far.run(world.far.experiment("digits"))
    url = (world.far.mlruns / "1" / run_id / "artifacts").as_uri()
    assert "%20" in url
    world.far.sql("UPDATE runs SET artifact_uri = ?", url)
    assert world.pull().artifacts[0].remote == f"mlruns/1/{run_id}/artifacts"
    info = world.here.client.get_run(run_id).info
    assert info.artifact_uri == f"{world.here.mlruns}/1/{run_id}/artifacts"
