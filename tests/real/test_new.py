"""Schemas of other ages: a server that is ahead of the laptop, laptops behind and ahead of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.real.compared import Records, differences
from tests.real.conftest import Make
from tests.real.world import Laptop, Server, execute

pytestmark = pytest.mark.timeout(600)

UNKNOWN = ("issues",)
REGISTRY = ("skill_versions", "skills")


@pytest.fixture(scope="module")
def here(laptop: Make, new: Server) -> Laptop:
    made = laptop("of a new server")
    summary = made.pull(new)
    assert summary.left_out == UNKNOWN
    assert summary.refused == summary.conflicts == ()
    return made


def test_what_both_know_arrives_from_a_newer_server(here: Laptop, new: Server) -> None:
    theirs, ours = Records(new.store, new.root), Records(here.store, here.root)
    assert {*UNKNOWN, *REGISTRY} <= theirs.tables().keys()
    assert differences(theirs, ours, without=(*UNKNOWN, *REGISTRY)) == []
    assert here.told() == new.told


def test_a_newer_servers_model_predicts(here: Laptop) -> None:
    with here.used() as mlflow:
        assert list(mlflow.pyfunc.load_model("models:/doubler@champion").predict([4])) == [8]


def test_a_newer_laptop_loses_nothing(
    laptop: Make, new_python: Path, traced: Server, autolog: Server
) -> None:
    made = laptop("ahead", new_python)
    for server in (traced, autolog):
        summary = made.pull(server)
        assert summary.left_out == summary.refused == summary.conflicts == ()
    told = execute(new_python, "tell.py", cwd=made.root)
    assert told["models"] == autolog.told["models"]
    assert told["runs"].keys() >= autolog.told["runs"].keys()
    for run, said in autolog.told["runs"].items():
        assert told["runs"][run] == said
    assert made.one("SELECT count(*) FROM spans") == 6
    version = "SELECT version_num FROM alembic_version"
    assert made.one(version) != laptop("ahead of nothing").one(version)


def test_an_older_laptop_says_what_it_has_no_place_for(
    laptop: Make, old_python: Path, autolog: Server, traced: Server
) -> None:
    made = laptop("behind", old_python)
    before = made.one("SELECT version_num FROM alembic_version")
    summary = made.pull(autolog)
    assert set(summary.left_out) == {
        "logged_models",
        "logged_model_params",
        "logged_model_tags",
        "logged_model_metrics",
        "inputs.step",
    }
    assert made.one("SELECT version_num FROM alembic_version") == before
    assert [(each.kind, each.id) for each in summary.refused] == [("model version", "flowers/1")]
    told = execute(old_python, "tell.py", cwd=made.root)
    assert told["runs"].keys() == autolog.told["runs"].keys()
    for run, said in autolog.told["runs"].items():
        for part in ("experiment", "info", "params", "tags", "latest", "metrics", "inputs"):
            assert told["runs"][run][part] == said[part]

    summary = made.pull(traced)
    assert {"spans", "assessments", "evaluation_datasets", "trace_info.trace_name"} <= set(
        summary.left_out
    )
    assert made.one("SELECT count(*) FROM trace_info") == 2
