"""What the toolkit knows of MLflow's tables, as data. Nothing else names a table or a column.

Seen with MLflow 2.16.2 to 3.17.2. A store may lack tables and columns of this list, and may have
more: users of the list take what both sides have, and name the rest (`left_out`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Mapping, Optional, Tuple

EXPERIMENT = "experiment"
RUN = "run"
MODEL = "model"
TRACE = "trace"
EVALUATION_DATASET = "evaluation_dataset"
ASSOCIATION = "association"
REGISTERED_MODEL = "registered_model"
DATASET = "dataset"

THREE_WAY = "three-way"
"""Rows that both sides may change: merged against what was last pulled."""
APPEND = "append"
"""Rows that are only ever added: sent by rowid, inserted where they are missing."""
LATEST = "latest"
"""Rows that hold the newest of APPEND rows: the greater (step, timestamp, value) wins."""
REPLACE = "replace"
"""Rows that only programs write: theirs takes the place of ours where they differ."""


@dataclass(frozen=True)
class Group:
    """Columns that change together: both sides' values are never mixed within a group.

    A row whose first column says `provisional` (a run that is RUNNING) can give way to the other
    side's even when nothing is known of its history.
    """

    columns: Tuple[str, ...]
    provisional: str = ""


@dataclass(frozen=True)
class Table:
    """One table: whose rows it holds, and how they merge."""

    name: str
    key: Tuple[str, ...]
    owner: str
    """The kind of thing (a name in KINDS) whose rows these are, named by `owner_column`."""
    owner_column: str
    rule: str = THREE_WAY
    links: Mapping[str, str] = field(default_factory=dict)
    """Further columns that hold an id, and the kind of thing it names."""
    path: str = ""
    """The column that says where the owner's artifacts are: a place that its id decides."""
    path_keys: Tuple[str, ...] = ()
    """Where not every row has a path: the tags that do."""
    sources: Tuple[str, ...] = ()
    """Columns with a path into the artifacts of some run or model."""
    fixed: Tuple[str, ...] = ()
    """Columns that are set when the row is made and never merged."""
    groups: Tuple[Group, ...] = ()
    quiet: Tuple[str, ...] = ()
    """Columns whose conflicts aren't worth telling (times of the last change)."""
    droppable: bool = False
    """Tag-like: a row that was removed there is removed here."""
    versioned: bool = False
    """Rows of one version of a registered model."""
    unsigned: Tuple[str, ...] = ()
    """Large columns that never change alone: left out of the signature."""


@dataclass(frozen=True)
class Kind:
    """A kind of thing with an id, and the row that stands for it."""

    name: str
    table: str
    column: str
    folder: Optional[str] = None
    """Its artifacts are at `<experiment>/<folder><id>/artifacts`; None for one that has none."""
    working: Tuple[str, object] = ("", None)
    """(column, value) of one whose artifacts may still grow."""
    optional: bool = False
    """Brought only when asked for."""


KINDS: Dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(EXPERIMENT, "experiments", "experiment_id"),
        Kind(RUN, "runs", "run_uuid", folder="", working=("status", "RUNNING")),
        # 1 is LoggedModelStatus.PENDING
        Kind(MODEL, "logged_models", "model_id", folder="models/", working=("status", 1)),
        Kind(
            TRACE,
            "trace_info",
            "request_id",
            folder="traces/",
            working=("status", "IN_PROGRESS"),
        ),
        Kind(EVALUATION_DATASET, "evaluation_datasets", "dataset_id"),
        Kind(ASSOCIATION, "entity_associations", "association_id"),
        Kind(REGISTERED_MODEL, "registered_models", "name", optional=True),
    )
}
"""In the order in which they are merged: what a thing hangs on comes before it."""

_IN_EXPERIMENT = {"experiment_id": EXPERIMENT}
_LIFECYCLE = Group(("lifecycle_stage", "deleted_time"))

TABLES: Tuple[Table, ...] = (
    Table(
        "experiments",
        ("experiment_id",),
        EXPERIMENT,
        "experiment_id",
        path="artifact_location",
        fixed=("creation_time", "workspace"),
        quiet=("last_update_time",),
    ),
    Table("experiment_tags", ("key", "experiment_id"), EXPERIMENT, "experiment_id", droppable=True),
    Table(
        "runs",
        ("run_uuid",),
        RUN,
        "run_uuid",
        links=_IN_EXPERIMENT,
        path="artifact_uri",
        groups=(Group(("status", "end_time"), provisional="RUNNING"), _LIFECYCLE),
    ),
    Table("params", ("key", "run_uuid"), RUN, "run_uuid"),
    Table("tags", ("key", "run_uuid"), RUN, "run_uuid", droppable=True),
    Table("latest_metrics", ("key", "run_uuid"), RUN, "run_uuid", rule=LATEST),
    Table(
        "logged_models",
        ("model_id",),
        MODEL,
        "model_id",
        links=_IN_EXPERIMENT,
        path="artifact_location",
        groups=(Group(("status", "status_message")), _LIFECYCLE),
        quiet=("last_updated_timestamp_ms",),
    ),
    Table(
        "logged_model_params", ("model_id", "param_key"), MODEL, "model_id", links=_IN_EXPERIMENT
    ),
    Table(
        "logged_model_tags",
        ("model_id", "tag_key"),
        MODEL,
        "model_id",
        links=_IN_EXPERIMENT,
        droppable=True,
    ),
    Table("trace_info", ("request_id",), TRACE, "request_id", rule=REPLACE, links=_IN_EXPERIMENT),
    Table("trace_request_metadata", ("key", "request_id"), TRACE, "request_id", rule=REPLACE),
    Table("trace_metrics", ("request_id", "key"), TRACE, "request_id", rule=REPLACE),
    Table(
        "spans",
        ("trace_id", "span_id"),
        TRACE,
        "trace_id",
        rule=REPLACE,
        links=_IN_EXPERIMENT,
        unsigned=("content",),
    ),
    Table("span_metrics", ("trace_id", "span_id", "key"), TRACE, "trace_id", rule=REPLACE),
    Table(
        "trace_tags",
        ("key", "request_id"),
        TRACE,
        "request_id",
        path="value",
        path_keys=("mlflow.artifactLocation",),
        droppable=True,
    ),
    Table(
        "assessments",
        ("assessment_id",),
        TRACE,
        "trace_id",
        links=_IN_EXPERIMENT,
        fixed=("created_timestamp", "trace_timestamp_ms"),
        groups=(
            Group(
                (
                    "name",
                    "value",
                    "error",
                    "rationale",
                    "assessment_metadata",
                    "overrides",
                    "valid",
                    "aggregate_value",
                    "is_numeric_value",
                )
            ),
        ),
        quiet=("last_updated_timestamp",),
        droppable=True,
    ),
    Table(
        "evaluation_datasets",
        ("dataset_id",),
        EVALUATION_DATASET,
        "dataset_id",
        fixed=("created_time", "created_by", "workspace"),
        groups=(Group(("schema", "profile", "digest")),),
        quiet=("schema", "profile", "digest", "last_update_time", "last_updated_by"),
    ),
    Table(
        "evaluation_dataset_tags",
        ("dataset_id", "key"),
        EVALUATION_DATASET,
        "dataset_id",
        droppable=True,
    ),
    Table(
        "evaluation_dataset_records",
        ("dataset_record_id",),
        EVALUATION_DATASET,
        "dataset_id",
        fixed=("created_time", "created_by"),
        quiet=("last_update_time", "last_updated_by"),
        droppable=True,
    ),
    # Both ends of an association are typed ids, see ENDS.
    Table("entity_associations", ("association_id",), ASSOCIATION, "association_id"),
    Table(
        "registered_models",
        ("name",),
        REGISTERED_MODEL,
        "name",
        fixed=("creation_time", "workspace"),
        quiet=("last_updated_time",),
    ),
    Table(
        "registered_model_tags",
        ("key", "name"),
        REGISTERED_MODEL,
        "name",
        fixed=("workspace",),
        droppable=True,
    ),
    Table(
        "model_versions",
        ("name", "version"),
        REGISTERED_MODEL,
        "name",
        links={"run_id": RUN},
        sources=("source", "storage_location"),
        fixed=("creation_time", "user_id", "run_link", "workspace"),
        groups=(Group(("status", "status_message")),),
        quiet=("last_updated_time",),
        versioned=True,
    ),
    Table(
        "model_version_tags",
        ("key", "name", "version"),
        REGISTERED_MODEL,
        "name",
        fixed=("workspace",),
        droppable=True,
        versioned=True,
    ),
    Table(
        "registered_model_aliases",
        ("alias", "name"),
        REGISTERED_MODEL,
        "name",
        fixed=("workspace",),
        droppable=True,
        versioned=True,
    ),
    Table(
        "datasets", ("experiment_id", "name", "digest"), EXPERIMENT, "experiment_id", rule=APPEND
    ),
    Table(
        "metrics",
        ("key", "timestamp", "step", "run_uuid", "value", "is_nan"),
        RUN,
        "run_uuid",
        rule=APPEND,
    ),
    Table(
        "logged_model_metrics",
        ("model_id", "metric_name", "metric_timestamp_ms", "metric_step", "run_id"),
        MODEL,
        "model_id",
        rule=APPEND,
        links={"experiment_id": EXPERIMENT, "run_id": RUN, "dataset_uuid": DATASET},
    ),
    # Both ends of an input are typed ids, see ENDS; the tags hang on the input.
    Table(
        "inputs",
        ("source_type", "source_id", "destination_type", "destination_id"),
        "",
        "",
        rule=APPEND,
    ),
    Table("input_tags", ("input_uuid", "name"), "", "", rule=APPEND),
)

ENDS: Mapping[str, Mapping[str, str]] = {
    "inputs": {
        "DATASET": DATASET,
        "RUN": RUN,
        "RUN_INPUT": RUN,
        "RUN_OUTPUT": RUN,
        "MODEL_INPUT": MODEL,
        "MODEL_OUTPUT": MODEL,
    },
    "entity_associations": {
        "experiment": EXPERIMENT,
        "evaluation_dataset": EVALUATION_DATASET,
        "run": RUN,
        "model": MODEL,
        "trace": TRACE,
    },
}
"""What `source_type` and `destination_type` say, and the kind of thing that the id names."""

_NOT_RECORDS = (
    "alembic_version workspaces jobs job_locks scheduler_leases secrets endpoints"
    " endpoint_bindings endpoint_model_mappings endpoint_tags model_definitions guardrails"
    " guardrail_configs budget_policies webhooks webhook_events"
).split()
_NOT_RECORDS_PREFIXES = ("mcp_", "sql_", "sqlite_")


def rows_of(kind: str) -> List[Table]:
    """The tables whose rows come with one kind of thing, the thing's own row first."""
    return [table for table in TABLES if table.owner == kind and table.rule != APPEND]


def append_only() -> List[Table]:
    return [table for table in TABLES if table.rule == APPEND]


def table_of(name: str) -> Table:
    return next(table for table in TABLES if table.name == name)


def is_left_out(name: str) -> bool:
    """True for a table that may hold records which this toolkit doesn't carry (yet)."""
    known = name in _NOT_RECORDS or name.startswith(_NOT_RECORDS_PREFIXES)
    return not known and all(table.name != name for table in TABLES)
