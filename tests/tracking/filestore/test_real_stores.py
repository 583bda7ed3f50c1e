"""A file store that MLflow wrote: as migrate-filestore reads it, and as MLflow itself does."""

from __future__ import annotations

import math
import shutil
import sqlite3
from contextlib import closing

import pytest

from remote.tracking import filestore, merge
from remote.tracking.filestore.delta_output import DeltaOutput
from tests.stores import empty_store
from tests.tracking.filestore.file_stores import ENVIRONMENT, Delta, migrated, real_store


def delta_columns() -> dict[str, list[str]]:
    """Of each table."""
    with closing(sqlite3.connect(":memory:")) as database:
        DeltaOutput(database, {})
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_master")]
        return {
            name: [row[1] for row in database.execute(f'PRAGMA table_info("{name}")')]
            for name in names
        }


COLUMNS = delta_columns()
PATHS = {"artifact_location", "artifact_uri"}
#: What migrate-filestore gets wrong; the client says what is right, see below.
WRONG = {
    "logged_model_metrics": {"metric_value"},
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return real_store(tmp_path_factory.mktemp("it's a 100% #1") / "far")


@pytest.fixture(scope="module")
def theirs(store, tmp_path_factory):
    return migrated(store, tmp_path_factory.mktemp("migrated") / "mlflow.db")


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    here = tmp_path_factory.mktemp("empty") / "here"
    empty_store(here)
    return here


@pytest.fixture(scope="module")
def clients(store, empty, tmp_path_factory):
    """MLflow on the file store, and on the database that it was merged into."""
    from mlflow import MlflowClient

    folder = tmp_path_factory.mktemp("merged")
    shutil.copytree(empty, folder / "here")
    assert pull(store, folder).refused == ()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        yield MlflowClient(str(store)), MlflowClient(f"sqlite:///{folder}/here/mlflow.db")


@pytest.fixture
def folder(empty, tmp_path):
    shutil.copytree(empty, tmp_path / "here")
    return tmp_path


def pull(store, folder):
    here = folder / "here"
    base = here / ".remote" / "base.db"
    known = merge.pull_state(base, store=here / "mlflow.db")
    filestore.write(store, folder / "delta.db", known)
    summary = merge.merge(
        folder / "delta.db",
        store=here / "mlflow.db",
        artifact_root=here / "mlruns",
        base=base,
        source="far",
    )
    merge.mark_fetched(base, summary.artifacts)
    with closing(sqlite3.connect(here / "mlflow.db")) as database:
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
    return summary


def rows(database, table, columns):
    """With what the made-up ids stand for in their place, and without paths."""
    dataset = (
        "(SELECT 'dataset ' || experiment_id || name || digest FROM datasets"
        " WHERE dataset_uuid = {0})"
    )
    link = "(SELECT source_type || destination_id || source_id FROM inputs WHERE input_uuid = {0})"
    special = {
        ("datasets", "dataset_uuid"): dataset.format("t.dataset_uuid"),
        ("inputs", "source_id"): f"coalesce({dataset.format('t.source_id')}, t.source_id)",
        ("inputs", "input_uuid"): "length(t.input_uuid)",
        ("input_tags", "input_uuid"): f"substr({link.format('t.input_uuid')}, 1, 39)",
    }
    skipped = PATHS | WRONG.get(table, set())
    wanted = [
        special.get((table, column), f't."{column}"') for column in columns if column not in skipped
    ]
    query = f'SELECT {", ".join(wanted)} FROM "{table}" t'
    # A FLOAT column of SQLite doesn't know -0.0, the delta's columns do.
    plain = (
        tuple(0.0 if value == 0.0 else value for value in row) for row in database.execute(query)
    )
    return sorted(plain, key=repr)


@pytest.mark.parametrize("table", COLUMNS)
def test_the_rows_are_those_of_migrate_filestore(store, theirs, table):
    delta, columns = Delta(store), COLUMNS[table]
    with closing(sqlite3.connect(delta.file)) as ours, closing(sqlite3.connect(theirs)) as other:
        found, wanted = rows(ours, table, columns), rows(other, table, columns)
    assert found == wanted
    assert wanted, f"the store has nothing for {table}"


def test_what_else_mlflow_keeps_there_is_named(store):
    assert Delta(store).left_out == ["traces", "assessments", "registered models", "prompts"]


def test_no_column_that_migrate_filestore_fills_is_forgotten(theirs):
    defaults = {"workspace", "db_payload_generation", "dataset_uuid"}
    with closing(sqlite3.connect(theirs)) as database:
        for table, columns in COLUMNS.items():
            for name in {row[1] for row in database.execute(f'PRAGMA table_info("{table}")')}:
                count = database.execute(f'SELECT count("{name}") FROM "{table}"').fetchone()[0]
                assert name in columns or name in defaults or count == 0, f"{table}.{name}"


def test_runs_say_the_same_to_a_client(clients):
    from mlflow.entities import ViewType

    theirs, ours = clients
    experiments = theirs.search_experiments(view_type=ViewType.ALL)
    found = theirs.search_runs([each.experiment_id for each in experiments], "", ViewType.ALL)
    assert len(found) == 5
    for run in found:
        mine = ours.get_run(run.info.run_id)
        assert mine.data.params == run.data.params
        assert mine.data.tags == run.data.tags
        for name in ("run_name", "status", "lifecycle_stage", "start_time", "end_time", "user_id"):
            assert getattr(mine.info, name) == getattr(run.info, name), name
        # The client reads the step of a line with a dataset as 0; migrate-filestore reads it.
        for key in set(run.data.metrics) - {"held/1", "held/2"}:
            history = [
                sorted(
                    (each.step, each.timestamp, stored(each.value))
                    for each in client.get_metric_history(run.info.run_id, key)
                )
                for client in clients
            ]
            assert history[0] == history[1]
        assert [d.dataset.to_dictionary() for d in mine.inputs.dataset_inputs] == [
            d.dataset.to_dictionary() for d in run.inputs.dataset_inputs
        ]
        assert mine.inputs.model_inputs == run.inputs.model_inputs
        assert mine.outputs.model_outputs == run.outputs.model_outputs
    assert any(run.inputs.model_inputs and run.outputs.model_outputs for run in found)


def stored(value):
    """A database has no infinity; and NaN equals nothing, not even itself."""
    greatest = 1.7976931348623157e308
    return "nan" if math.isnan(value) else max(min(value, greatest), -greatest)


def test_latest_metrics_are_those_that_mlflow_logs(clients, store):
    theirs, ours = clients
    run = next(
        run
        for each in theirs.search_experiments()
        for run in theirs.search_runs([each.experiment_id])
        if run.info.run_name == "007"
    )
    latest = ours.get_run(run.info.run_id).data.metrics
    assert latest["acc"] == 1.0 and latest["val/loss"] == 2.5 and math.isnan(latest["only-nan"])


def test_logged_models_say_the_same_to_a_client(clients):
    theirs, ours = clients
    experiments = [each.experiment_id for each in theirs.search_experiments()]
    models = theirs.search_logged_models(experiments)
    assert len(models) == 2
    for model in models:
        mine = ours.get_logged_model(model.model_id)
        assert (mine.name, mine.status, mine.tags) == (model.name, model.status, model.tags)
        assert (mine.params, mine.model_type) == (model.params, model.model_type)
        assert mine.source_run_id == model.source_run_id
        values = [
            sorted((m.key, m.step, m.run_id, str(m.dataset_name)) for m in each.metrics or [])
            for each in (mine, model)
        ]
        assert values[0] == values[1]


def test_the_values_of_a_models_metrics_are_kept_as_the_database_store_keeps_them(store):
    delta = Delta(store)
    found = dict(delta.rows("logged_model_metrics", "metric_name, metric_value"))
    assert found == {"held/0": 0.25, "held/1": 0.0, "held/2": 1.7976931348623157e308}


def test_a_second_pull_brings_nothing(store, folder):
    pull(store, folder)
    shutil.copy(folder / "here" / "mlflow.db", folder / "before.db")
    again = pull(store, folder)
    assert (again.new_runs, again.grown_runs, again.metric_rows) == (0, 0, 0)
    assert (folder / "here" / "mlflow.db").read_bytes() == (folder / "before.db").read_bytes()


def test_artifacts_of_a_deleted_experiment_are_found_where_they_lie(store, folder):
    folders = {folder.remote for folder in pull(store, folder).artifacts}
    assert any(folder.startswith("mlruns/.trash/") for folder in folders)
    assert all((store.parent / folder).is_dir() for folder in folders if "/models/" not in folder)
