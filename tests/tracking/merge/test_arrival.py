"""What a pull brings, read back by MlflowClient."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from remote.errors import StoreError
from remote.tracking import merge


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


def test_two_servers_with_the_same_experiment_and_other_ids(world):
    other = world.project("other")
    other.experiment("only there")
    runs = [world.far.run(world.far.experiment("digits")), other.run(other.experiment("digits"))]
    world.pull()
    world.pull(other)
    found = world.here.client.get_experiment_by_name("digits")
    assert {run.info.run_id for run in world.here.client.search_runs([found.experiment_id])} == {
        *runs
    }
    assert world.here.one("SELECT count(*) FROM experiments") == 3


def test_a_table_that_is_left_out_is_named(world):
    world.far.run(world.far.experiment("digits"))
    world.far.client.create_registered_model("best")
    world.far.sql("ALTER TABLE runs ADD COLUMN shade TEXT")
    world.far.sql("UPDATE runs SET shade = 'dark'")
    assert set(world.pull().left_out) == {"registered_models", "runs.shade"}


def test_an_older_schema_arrives_by_the_common_columns(world):
    run_id = world.far.run(world.far.experiment("digits"))
    for table in ("logged_model_metrics", "logged_model_params", "logged_model_tags"):
        world.far.sql(f"DROP TABLE {table}")
    world.far.sql("DROP TABLE logged_models")
    world.far.sql("ALTER TABLE runs DROP COLUMN deleted_time")
    world.far.sql("ALTER TABLE inputs DROP COLUMN step")
    summary = world.pull()
    assert (summary.new_runs, summary.left_out) == (1, ())
    assert world.here.client.get_run(run_id).data.metrics == {"loss": 1 / 3}
    world.far.sql("UPDATE runs SET name = 'new'")
    world.pull()
    assert world.here.one("SELECT name FROM runs") == "new"


def test_a_store_in_wal_mode(world):
    for side in (world.far, world.here):
        side.sql("PRAGMA journal_mode = WAL")
    run_id = world.far.run(world.far.experiment("digits"))
    assert world.pull().new_runs == 1
    assert world.pull().new_runs == 0
    assert world.here.client.get_run(run_id).data.params == {"lr": "0.1"}


def test_a_file_that_is_no_delta_is_refused(world, tmp_path):
    (tmp_path / "text").write_text("not a database, but long enough to look like one " * 30)
    with closing(sqlite3.connect(tmp_path / "empty")) as database:
        database.execute("CREATE TABLE meta (key, value)")
    before = world.here.store.read_bytes()
    for name in ("text", "empty"):
        with pytest.raises(StoreError):
            world.apply(tmp_path / name)
    assert world.here.store.read_bytes() == before


def test_a_missing_store_is_refused(world, tmp_path):
    file = world.delta()
    world.here.store.unlink()
    with pytest.raises(StoreError, match="isn't an MLflow store"):
        world.apply(file)
    assert not world.here.store.exists()
