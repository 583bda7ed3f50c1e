"""Rows come over in local ids and paths, those that are only added once; read by MlflowClient."""

from __future__ import annotations

import pytest

from remote.tracking import merge
from remote.tracking.merge import stage


def test_nan_and_infinity_arrive(world):
    run_id = world.far.run(world.far.experiment("digits"))
    for name in ("nan", "inf", "-inf"):
        world.far.client.log_metric(run_id, name, float(name), step=1, timestamp=7)
    world.pull()
    metrics = world.here.client.get_run(run_id).data.metrics
    assert str(metrics["nan"]) == "nan"
    assert metrics == pytest.approx(world.far.client.get_run(run_id).data.metrics, nan_ok=True)


def test_artifacts_lie_where_a_local_run_would_have_put_them(world):
    world.here.experiment("mine")
    run_id = world.far.run(world.far.experiment("digits"))
    (folder,) = world.pull().artifacts
    assert folder == merge.ArtifactFolder(
        f"mlruns/1/{run_id}/artifacts", f"mlruns/2/{run_id}/artifacts"
    )
    run = world.here.client.get_run(run_id)
    assert run.info.artifact_uri == f"{world.here.mlruns}/2/{run_id}/artifacts"
    experiment = world.here.client.get_experiment_by_name("digits")
    assert experiment.artifact_location == f"{world.here.mlruns}/2"


@pytest.fixture
def logged(world):
    """A run on the server with a dataset, a logged model and a metric that hangs on both."""
    import mlflow.data
    import numpy
    from mlflow.entities import DatasetInput, InputTag, LoggedModelInput, Metric

    far = world.far
    run_id = far.run(far.experiment("digits"))
    dataset = mlflow.data.from_numpy(numpy.zeros((2, 2)), name="zeros")._to_mlflow_entity()
    model = far.client.create_logged_model(
        "1", name="net", source_run_id=run_id, params={"depth": "3"}, tags={"kind": "toy"}
    )
    context = [InputTag("mlflow.data.context", "training")]
    far.client.log_inputs(
        run_id, [DatasetInput(dataset, context)], [LoggedModelInput(model.model_id)]
    )
    far.client.log_batch(
        run_id,
        [
            Metric(
                "acc",
                0.5,
                9,
                1,
                model_id=model.model_id,
                dataset_name=dataset.name,
                dataset_digest=dataset.digest,
                run_id=run_id,
            )
        ],
    )
    far.client.finalize_logged_model(model.model_id, "READY")
    return run_id, model.model_id


def test_datasets_and_logged_models_arrive(world, logged):
    run_id, model_id = logged
    summary = world.pull()
    client = world.here.client
    ours, theirs = (side.client.get_run(run_id).inputs for side in (world.here, world.far))
    (dataset,) = ours.dataset_inputs
    assert dataset.dataset.name == "zeros"
    assert [(tag.key, tag.value) for tag in dataset.tags] == [("mlflow.data.context", "training")]
    assert (
        [m.model_id for m in ours.model_inputs]
        == [model_id]
        == [m.model_id for m in theirs.model_inputs]
    )
    model = client.get_logged_model(model_id)
    assert (model.name, model.params, str(model.status)) == ("net", {"depth": "3"}, "READY")
    assert model.tags["kind"] == "toy"
    assert model.artifact_location == f"{world.here.mlruns}/1/models/{model_id}/artifacts"
    assert [(m.key, m.value, m.dataset_name) for m in model.metrics] == [("acc", 0.5, "zeros")]
    assert (
        merge.ArtifactFolder(
            f"mlruns/1/models/{model_id}/artifacts", f"mlruns/1/models/{model_id}/artifacts"
        )
        in summary.artifacts
    )


def test_a_dataset_that_is_here_already_is_not_doubled(world, logged):
    """Same experiment, name and digest, another uuid: the inputs point at ours."""
    run_id, _ = logged
    world.here.experiment("digits")
    world.here.sql(
        "INSERT INTO datasets (dataset_uuid, experiment_id, name, digest, dataset_source_type,"
        " dataset_source) VALUES ('ours', 1, 'zeros', ?, 'code', '{}')",
        world.far.one("SELECT digest FROM datasets"),
    )
    world.pull()
    assert world.here.sql("SELECT dataset_uuid FROM datasets") == [("ours",)]
    (found,) = world.here.client.get_run(run_id).inputs.dataset_inputs
    assert found.dataset.name == "zeros"


def test_a_dataset_pulled_earlier_is_found_by_a_later_run(world, logged):
    world.pull()
    second = world.far.run("1")
    world.far.sql(
        "INSERT INTO inputs (input_uuid, source_type, source_id, destination_type, destination_id)"
        " VALUES ('two', 'DATASET', (SELECT dataset_uuid FROM datasets), 'RUN', ?)",
        second,
    )
    world.pull()
    (found,) = world.here.client.get_run(second).inputs.dataset_inputs
    assert found.dataset.name == "zeros"


def test_twice_leaves_the_database_byte_identical(world, logged):
    world.pull()
    before = world.here.store.read_bytes()
    summary = world.pull()
    assert world.here.store.read_bytes() == before
    assert (summary.new_runs, summary.grown_runs, summary.metric_rows) == (0, 0, 0)
    assert summary.run_ids == summary.artifacts == summary.conflicts == ()


def test_an_experiments_own_location_is_never_taken(world):
    run_id = world.far.run(world.far.experiment("digits"))
    world.far.sql("UPDATE experiments SET artifact_location = '/etc'")
    world.pull()
    assert world.here.client.get_run(run_id).info.experiment_id == "1"
    assert world.here.sql("SELECT artifact_location FROM experiments") == [
        (f"{world.here.mlruns}/0",),
        (f"{world.here.mlruns}/1",),
    ]


def test_metrics_of_runs_that_are_not_theirs_are_not_taken(world):
    mine = world.here.run(world.here.experiment("mine"))
    world.far.run(world.far.experiment("digits"))
    world.apply(world.forged(f"UPDATE metrics SET run_uuid = '{mine}', value = 99"))
    assert len(world.here.client.get_metric_history(mine, "loss")) == 3


def test_rows_that_are_only_added_come_in_parts(world, monkeypatch):
    """All of them, once, however the parts fall; and it is told how far it is."""
    monkeypatch.setattr(stage, "ROWS", 4)
    run_id = world.far.run(world.far.experiment("digits"), steps=9)
    told = []
    summary = merge.merge(
        world.delta(),
        store=world.here.store,
        artifact_root=world.here.mlruns,
        base=world.base(),
        source="far",
        progress=lambda done, total: told.append((done, total)),
    )
    steps = world.here.sql("SELECT step FROM metrics WHERE run_uuid = ? ORDER BY step", run_id)
    assert [step for (step,) in steps] == list(range(9)) and summary.metric_rows == 9
    # Two experiments and the run, and then the metrics.
    done = [done for done, _ in told]
    assert {total for _, total in told} == {12} and done == sorted(done)
    assert done[-3:] == [7, 11, 12]


@pytest.mark.parametrize(("table", "column"), [("runs", "workspace"), ("experiments", "workspace")])
def test_what_comes_is_put_into_the_one_workspace(world, table, column):
    for side in (world.far, world.here):
        if not side.sql(f"SELECT 1 FROM pragma_table_info('{table}') WHERE name = '{column}'"):
            side.sql(f"ALTER TABLE {table} ADD COLUMN {column} TEXT")
    world.far.run(world.far.experiment("digits"))
    world.far.sql(f"UPDATE {table} SET {column} = 'theirs'")
    world.pull()
    query = f"SELECT {column} FROM {table} ORDER BY rowid DESC LIMIT 1"
    assert world.here.one(query) == "default"
