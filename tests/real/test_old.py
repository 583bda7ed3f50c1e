"""A server that still runs MLflow 2.16: its records are read here by MLflow 3."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.real.compared import Records, differences
from tests.real.conftest import Make
from tests.real.test_minors import upgraded
from tests.real.world import Laptop, Server

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def from_database(laptop: Make, old: Server) -> Laptop:
    made = laptop("old")
    summary = made.pull(old)
    assert summary.left_out == summary.refused == summary.conflicts == ()
    return made


@pytest.fixture(scope="module")
def from_files(laptop: Make, old_files: Server) -> Laptop:
    made = laptop("old files")
    summary = made.pull(old_files)
    assert summary.left_out == ("traces", "registered models")
    assert summary.refused == summary.conflicts == ()
    return made


@pytest.fixture(scope="module", params=["old", "old_files"])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module")
def here(request: pytest.FixtureRequest, server: Server) -> Laptop:
    kind = "from_database" if server.root.name == "old" else "from_files"
    found: Laptop = request.getfixturevalue(kind)
    return found


def test_sql_finds_the_same_rows(from_database: Laptop, old: Server, tmp_path: Path) -> None:
    """As MLflow's own migration leaves them."""
    theirs = Records(upgraded(old, tmp_path), old.root)
    ours = Records(from_database.store, from_database.root)
    assert differences(theirs, ours) == []
    assert len(ours.tables()["metrics"]) == 60


def test_the_client_says_the_same(here: Laptop, server: Server) -> None:
    ours = here.told()
    for part in ("runs", "experiments"):
        assert ours[part] == server.told[part]
    slow = ours["runs"][server.facts["runs"]["slow"]]
    assert len(slow["metrics"]["loss"]) == 25 and slow["artifacts"].keys() >= {"notes/hello.txt"}
    assert [value for _, _, value in slow["metrics"]["odd/values"]][1] == "nan"
    assert ours["runs"][server.facts["deleted"]]["info"][4] == "deleted"


def test_its_registered_models_are_told_as_they_were(from_database: Laptop, old: Server) -> None:
    assert from_database.told()["models"] == old.told["models"] != []


def test_its_traces_open(from_database: Laptop) -> None:
    client = from_database.client
    experiment = client.get_experiment_by_name("vision / größe").experiment_id
    [trace] = client.search_traces(locations=[experiment])
    assert trace.info.state == "OK"
    spans = {span.name: span for span in trace.data.spans}
    assert spans["answer"].inputs == {"question": "why"} and spans["answer"].outputs == "WHY"
    assert spans["look up"].parent_id == spans["answer"].span_id


@pytest.mark.parametrize("version", ["1", "@champion"])
def test_its_registered_model_predicts(from_database: Laptop, version: str) -> None:
    name = f"models:/doubler{version}" if version[0] == "@" else f"models:/doubler/{version}"
    with from_database.used() as mlflow:
        assert list(mlflow.pyfunc.load_model(name).predict([1, 2])) == [2, 4]


def test_nothing_here_names_the_server(here: Laptop, server: Server) -> None:
    assert here.names(server.root) == []
    assert not list(here.root.glob("mlruns/**/meta.yaml"))


def test_once_more_changes_nothing(here: Laptop, server: Server) -> None:
    before = here.store.read_bytes()
    summary = here.pull(server)
    assert (summary.new_runs, summary.grown_runs, summary.metric_rows) == (0, 0, 0)
    assert here.store.read_bytes() == before


def test_two_servers_meet_in_one_experiment(laptop: Make, old: Server, old_files: Server) -> None:
    """The same data set has another id on each."""
    made = laptop("of both")
    assert made.pull(old).refused == ()
    assert made.pull(old_files).refused == ()
    assert made.one("SELECT count(*) FROM experiments WHERE name = 'vision / größe'") == 1
    assert made.one("SELECT count(*) FROM datasets") == 1
    for server in (old, old_files):
        for name in server.facts["runs"]:
            run = made.client.get_run(server.facts["runs"][name])
            assert [each.dataset.name for each in run.inputs.dataset_inputs] == ["points"]
    version = made.client.get_model_version("doubler", "1")
    assert version.run_id == old.facts["model_run"]
