"""The table of tables against the store that the installed MLflow makes."""

from __future__ import annotations

import importlib.util
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from remote.tracking import schema
from remote.tracking.schema import KINDS, TABLES, Table
from remote.tracking.store import columns_of
from tests.stores import empty_store

#: What may hold records, but isn't carried yet. A newer MLflow's may be worth a row in TABLES.
LEFT_OUT = set(
    "issues label_schemas online_scoring_configs review_queue_items review_queue_label_schemas"
    " review_queue_users review_queues scorer_versions scorers".split()
)

every_table = pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    store: Path = empty_store(tmp_path_factory.mktemp("schema"))
    with closing(sqlite3.connect(store)) as database:
        yield database


@every_table
def test_all_that_is_named_is_a_column_of_mlflows(mlflow: sqlite3.Connection, table: Table) -> None:
    named = {*table.key, table.owner_column, *table.links, table.path}
    named |= {*table.sources, *table.unsigned, *(group.columns[0] for group in table.groups)}
    assert named - {""} <= set(columns_of(mlflow, "main", table.name))


# MLflow itself doesn't say that the ids of associations are unique; they are random.
@pytest.mark.parametrize(
    "table",
    [table for table in TABLES if table.name != "entity_associations"],
    ids=lambda table: table.name,
)
def test_a_key_names_one_row(mlflow: sqlite3.Connection, table: Table) -> None:
    info = mlflow.execute(f"PRAGMA table_info({table.name})").fetchall()
    unique = [{row[1] for row in info if row[5]}]
    for _, index, is_unique, *_ in mlflow.execute(f"PRAGMA index_list({table.name})").fetchall():
        if is_unique:
            unique.append({row[2] for row in mlflow.execute(f"PRAGMA index_info({index})")})
    # All that is merged is in the one workspace.
    assert {*table.key} in [columns - {"workspace"} for columns in unique if columns]


@every_table
def test_no_number_of_an_experiment_is_taken_over_as_it_is(
    mlflow: sqlite3.Connection, table: Table
) -> None:
    """It means another experiment in each store."""
    if "experiment_id" in columns_of(mlflow, "main", table.name):
        kinds = {table.owner_column: table.owner, **table.links}
        assert kinds["experiment_id"] == schema.EXPERIMENT


def test_a_table_that_may_hold_records_and_is_not_carried_is_told(
    mlflow: sqlite3.Connection,
) -> None:
    found = mlflow.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    assert {name for (name,) in found if schema.is_left_out(name)} == LEFT_OUT
    assert schema.is_left_out("what_the_next_mlflow_brings")
    for name in ("runs", "metrics", "alembic_version", "sqlite_sequence", "mcp_servers"):
        assert not schema.is_left_out(name)


def test_a_thing_is_merged_after_what_it_hangs_on() -> None:
    order = list(KINDS)
    for kind in KINDS.values():
        for hangs_on in schema.table_of(kind.table).links.values():
            assert order.index(hangs_on) < order.index(kind.name)
    for end in schema.ENDS["entity_associations"].values():
        assert order.index(end) < order.index(schema.ASSOCIATION)


def test_the_rows_of_a_kind_begin_with_the_things_own() -> None:
    for kind in KINDS.values():
        first, *others = schema.rows_of(kind.name)
        assert (first.name, first.key[0]) == (kind.table, kind.column)
        assert all(table.owner == kind.name for table in others)


def test_each_table_comes_with_its_owner_or_row_by_row() -> None:
    owned = [table for kind in KINDS for table in schema.rows_of(kind)]
    assert sorted([*owned, *schema.append_only()]) == sorted(TABLES)
    assert {table.rule for table in owned} == {schema.THREE_WAY, schema.LATEST, schema.REPLACE}


def test_times_of_change_are_quiet_and_times_of_creation_fixed() -> None:
    versions = schema.table_of("model_versions")
    assert {"user_id", "run_link", "creation_time", "workspace"} <= {*versions.fixed}
    assert all("last_updated_time" in table.quiet for table in TABLES)
    assert {"schema", "last_update_time"} <= {*schema.table_of("evaluation_datasets").quiet}


#: Columns and tags that are called as an address is, and which MLflow opens no place by: text that
#: is shown, or ids and names. A new one is looked up in MLflow's source before it stands here.
NO_PLACES = set(
    "runs.source_name runs.source_type runs.source_version datasets.dataset_source"
    " datasets.dataset_source_type inputs.source_id inputs.source_type inputs.destination_id"
    " inputs.destination_type logged_models.source_run_id assessments.source_id"
    " assessments.source_type evaluation_dataset_records.source"
    " evaluation_dataset_records.source_id evaluation_dataset_records.source_type"
    " entity_associations.source_id entity_associations.source_type"
    " entity_associations.destination_id entity_associations.destination_type".split()
)
NO_PLACE_TAGS = set(
    " mlflow.assessment.scorerResourceName mlflow.assessment.scorerResourceNameType"
    " mlflow.assessment.sourceRunId mlflow.databricks.gitRepoRelativePath"
    " mlflow.databricks.gitRepoUrl mlflow.databricks.modelServingEndpointName"
    " mlflow.databricks.notebookPath mlflow.databricks.runURL mlflow.databricks.webappURL"
    " mlflow.databricks.workspaceURL mlflow.docker.image.uri"
    " mlflow.experiment.databricksTraceDestinationPath"
    " mlflow.experiment.databricksTraceLogStorageTable"
    " mlflow.experiment.databricksTraceSpanStorageTable mlflow.experiment.sourceId"
    " mlflow.experiment.sourceType mlflow.gateway.endpointId mlflow.gateway.linkedTraceId"
    " mlflow.genaiEvaluate.agent.uri mlflow.latest_checkpoint_artifact mlflow.linkedPrompts"
    " mlflow.loggedArtifacts mlflow.runSourceType mlflow.source.git.branch"
    " mlflow.source.git.commit mlflow.source.git.diff mlflow.source.git.dirty"
    " mlflow.source.git.repoURL mlflow.source.name mlflow.source.type mlflow.sourceRun"
    " mlflow.trace.sourceScorer mlflow.trace.spansLocation".split()
)
LIKE_AN_ADDRESS = re.compile(
    r"ur[il]|location|source|path|link|dir|root|storage|endpoint|artifact", re.I
)


def test_every_column_that_looks_like_an_address_is_judged_as_one(
    mlflow: sqlite3.Connection,
) -> None:
    judged = {
        f"{table.name}.{column}"
        for table in TABLES
        for column in (table.path, *table.sources, *table.pages)
    }
    unjudged = {
        f"{table.name}.{column}"
        for table in TABLES
        for column in columns_of(mlflow, "main", table.name)
        if LIKE_AN_ADDRESS.search(column)
    }
    assert unjudged - judged - NO_PLACES == set()


def test_every_tag_that_looks_like_an_address_is_judged_as_one() -> None:
    spec = importlib.util.find_spec("mlflow")
    assert spec is not None and spec.origin is not None
    files = (
        "utils/mlflow_tags.py",
        "tracing/constant.py",
        "entities/model_registry/model_version.py",
    )
    texts = [(Path(spec.origin).parent / file).read_text() for file in files]
    tags = set(re.findall(r'"(mlflow\.[\w.-]+)"', " ".join(texts)))
    judged = {key for table in TABLES for key in table.path_keys}
    assert judged <= tags
    assert {tag for tag in tags if LIKE_AN_ADDRESS.search(tag)} - judged - NO_PLACE_TAGS == set()
