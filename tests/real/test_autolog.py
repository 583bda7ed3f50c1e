"""scikit-learn's autolog and the registry: models that predict here once the server is gone."""

from __future__ import annotations

import pytest

from tests.real.compared import Records, differences
from tests.real.conftest import Make
from tests.real.world import Laptop, Server

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def here(laptop: Make, autolog: Server) -> Laptop:
    made = laptop("of autolog")
    summary = made.pull(autolog)
    assert summary.left_out == summary.refused == summary.conflicts == ()
    assert (summary.new_models, summary.new_versions) == (3, 1)
    return made


def test_sql_finds_the_same_rows(here: Laptop, autolog: Server) -> None:
    theirs, ours = Records(autolog.store, autolog.root), Records(here.store, here.root)
    assert differences(theirs, ours) == []
    assert ours.tables().keys() >= {"logged_model_metrics", "registered_model_aliases", "inputs"}


def test_the_client_says_the_same(here: Laptop, autolog: Server) -> None:
    assert here.told() == autolog.told
    run = here.client.get_run(autolog.facts["run"])
    assert run.data.params["best_C"] == str(autolog.facts["best"])
    assert [each.dataset.name for each in run.inputs.dataset_inputs] == ["dataset"]
    children = here.client.search_runs(
        [run.info.experiment_id], f"tags.mlflow.parentRunId = '{run.info.run_id}'"
    )
    assert len(children) == 3


def test_its_logged_model_is_whole(here: Laptop, autolog: Server) -> None:
    model = here.client.get_logged_model(autolog.facts["model"])
    assert (model.name, model.status, model.params) == ("flowers", "READY", {"C": "1.0"})
    assert model.tags["stage"] == "candidate"
    assert model.artifact_location.startswith(str(here.root / "mlruns"))
    [metric] = model.metrics
    assert (metric.key, metric.dataset_name, metric.run_id) == (
        "accuracy",
        "iris",
        autolog.facts["model_run"],
    )
    run = here.client.get_run(autolog.facts["model_run"])
    assert [each.model_id for each in run.outputs.model_outputs] == [model.model_id]


@pytest.mark.parametrize(
    "name", ["models:/{model}", "models:/flowers/1", "models:/flowers@champion"]
)
def test_its_models_predict(here: Laptop, autolog: Server, name: str) -> None:
    import pandas

    facts = autolog.facts
    rows = pandas.DataFrame(facts["rows"], columns=facts["columns"])
    with here.used() as mlflow:
        loaded = mlflow.pyfunc.load_model(name.format(**facts))
        assert list(loaded.predict(rows)) == facts["predictions"]
        estimator = mlflow.sklearn.load_model(name.format(**facts))
        assert list(estimator.predict(rows)) == facts["predictions"]


def test_autologs_own_model_predicts(here: Laptop, autolog: Server) -> None:
    facts = autolog.facts
    run = here.client.get_run(facts["run"])
    with here.used() as mlflow:
        for output in run.outputs.model_outputs:
            assert mlflow.sklearn.load_model(f"models:/{output.model_id}").n_features_in_ == 4
        best = mlflow.sklearn.load_model(f"runs:/{facts['run']}/best_estimator")
        assert facts["best"] == best.C


def test_nothing_here_names_the_server(here: Laptop, autolog: Server) -> None:
    assert here.names(autolog.root) == []


def test_a_model_can_be_registered_on_top(here: Laptop, autolog: Server) -> None:
    """The store goes on as if the run had been made here, and the next pull leaves that alone."""
    with here.used() as mlflow:
        version = mlflow.register_model(f"models:/{autolog.facts['model']}", "flowers")
    assert int(version.version) == 2
    here.client.set_registered_model_alias("flowers", "champion", 2)
    before = here.told()
    summary = here.pull(autolog)
    assert (summary.new_runs, summary.new_versions, summary.conflicts) == (0, 0, ())
    assert here.told() == before


def test_the_registry_comes_only_when_asked_for(laptop: Make, autolog: Server) -> None:
    made = laptop("without registry")
    assert made.pull(autolog, registry=False).left_out == ("registered_models",)
    assert made.rows("SELECT * FROM model_versions") == []
    assert made.pull(autolog).new_versions == 1
