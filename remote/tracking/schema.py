"""What the toolkit knows of MLflow's tables, as data. Nothing else names a table or a column.

Seen with MLflow 2.9.2 to 3.18.0. A store may lack tables and columns of this list, and may have
more: users of the list take what both sides have, and name the rest (`left_out`).
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

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


class Group(NamedTuple):
    """Columns that change together: both sides' values are never mixed within a group.

    A row whose first column says `provisional` (a run that is RUNNING) can give way to the other
    side's even when nothing is known of its history.
    """

    columns: Tuple[str, ...]
    provisional: str = ""


class Table(NamedTuple):
    """One table: whose rows it holds, and how they merge."""

    name: str
    key: Tuple[str, ...]
    owner: str
    """The kind of thing (a name in KINDS) whose rows these are, named by `owner_column`."""
    owner_column: str
    rule: str = THREE_WAY
    links: Mapping[str, str] = {}
    """Further columns that hold an id, and the kind of thing it names."""
    path: str = ""
    """The column that says where the owner's artifacts are: a place that its id decides."""
    path_keys: Tuple[str, ...] = ()
    """Where not every row has a path: the tags that do, first that of the owner's artifacts."""
    sources: Tuple[str, ...] = ()
    """Columns with a path into the artifacts of some run or model."""
    pages: Tuple[str, ...] = ()
    """Columns with a page that MLflow's UI links to."""
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

    @property
    def references(self) -> Dict[str, str]:
        """All columns that hold ids of one kind of thing, and the kind; not those of ENDS, where it
        is another in each row."""
        return {self.owner_column: self.owner, **self.links}


class Kind(NamedTuple):
    """A kind of thing with an id, and the row that stands for it."""

    name: str
    table: str
    column: str
    folder: Optional[str] = None
    """Its artifacts are at `<experiment>/<folder><id>/artifacts`; None for one that has none."""
    working: Optional[Tuple[str, object]] = None
    """(column, value) of one whose artifacts may still grow."""
    optional: bool = False
    """Brought only when asked for."""


KINDS: Dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(EXPERIMENT, "experiments", "experiment_id"),
        Kind(RUN, "runs", "run_uuid", "", working=("status", "RUNNING")),
        # 1 is LoggedModelStatus.PENDING
        Kind(MODEL, "logged_models", "model_id", "models/", working=("status", 1)),
        Kind(TRACE, "trace_info", "request_id", "traces/", working=("status", "IN_PROGRESS")),
        Kind(EVALUATION_DATASET, "evaluation_datasets", "dataset_id"),
        Kind(ASSOCIATION, "entity_associations", "association_id"),
        Kind(REGISTERED_MODEL, "registered_models", "name", optional=True),
    )
}
"""In the order in which they are merged: what a thing hangs on comes before it."""

_FIXED = tuple(
    "workspace creation_time created_by created_time created_timestamp trace_timestamp_ms".split()
)
_QUIET = tuple(
    "last_update_time last_updated_time last_updated_timestamp last_updated_timestamp_ms"
    " last_updated_by".split()
)
"""`fixed` and `quiet` in every table that has them."""


def _group(columns: str, provisional: str = "") -> Group:
    return Group(tuple(columns.split()), provisional)


_LIFECYCLE = _group("lifecycle_stage deleted_time")
_STATUS = _group("status status_message")
_GROUPS: Dict[str, Tuple[Group, ...]] = {
    "runs": (_group("status end_time", provisional="RUNNING"), _LIFECYCLE),
    "logged_models": (_STATUS, _LIFECYCLE),
    "assessments": (
        _group(
            "name value error rationale assessment_metadata overrides valid aggregate_value"
            " is_numeric_value"
        ),
    ),
    "evaluation_datasets": (_group("schema profile digest"),),
    "model_versions": (_STATUS,),
}


def _table(name: str, key: str, owner: str, column: str = "", **more: Any) -> Table:
    """A table as TABLES spells it: columns in one text; the owner's is named as the owner names it."""
    for several in ("path_keys", "sources", "pages", "fixed", "quiet", "unsigned"):
        more[several] = tuple(more.get(several, "").split())
    more["fixed"] += _FIXED
    more["quiet"] += _QUIET
    column = column or (KINDS[owner].column if owner else "")
    groups = _GROUPS.get(name, ())
    return Table(name, tuple(key.split()), owner, column, groups=groups, **more)


_IN_EXPERIMENT = {"experiment_id": EXPERIMENT}

TABLES: Tuple[Table, ...] = (
    _table("experiments", "experiment_id", EXPERIMENT, path="artifact_location"),
    _table("experiment_tags", "key experiment_id", EXPERIMENT, droppable=True),
    _table("runs", "run_uuid", RUN, links=_IN_EXPERIMENT, path="artifact_uri"),
    _table("params", "key run_uuid", RUN),
    _table("tags", "key run_uuid", RUN, droppable=True),
    _table("latest_metrics", "key run_uuid", RUN, rule=LATEST),
    _table("logged_models", "model_id", MODEL, links=_IN_EXPERIMENT, path="artifact_location"),
    _table("logged_model_params", "model_id param_key", MODEL, links=_IN_EXPERIMENT),
    _table("logged_model_tags", "model_id tag_key", MODEL, links=_IN_EXPERIMENT, droppable=True),
    _table("trace_info", "request_id", TRACE, rule=REPLACE, links=_IN_EXPERIMENT),
    _table("trace_request_metadata", "key request_id", TRACE, rule=REPLACE),
    _table("trace_metrics", "request_id key", TRACE, rule=REPLACE),
    _table(
        "spans",
        "trace_id span_id",
        TRACE,
        "trace_id",
        rule=REPLACE,
        links=_IN_EXPERIMENT,
        unsigned="content",
    ),
    _table("span_metrics", "trace_id span_id key", TRACE, "trace_id", rule=REPLACE),
    _table(
        "trace_tags",
        "key request_id",
        TRACE,
        path="value",
        path_keys="mlflow.artifactLocation mlflow.trace.archiveLocation",
        droppable=True,
    ),
    _table("assessments", "assessment_id", TRACE, "trace_id", links=_IN_EXPERIMENT, droppable=True),
    _table("evaluation_datasets", "dataset_id", EVALUATION_DATASET, quiet="schema profile digest"),
    _table("evaluation_dataset_tags", "dataset_id key", EVALUATION_DATASET, droppable=True),
    _table(
        "evaluation_dataset_records",
        "dataset_record_id",
        EVALUATION_DATASET,
        "dataset_id",
        droppable=True,
    ),
    # Both ends of an association are typed ids, see ENDS.
    _table("entity_associations", "association_id", ASSOCIATION),
    _table("registered_models", "name", REGISTERED_MODEL),
    _table("registered_model_tags", "key name", REGISTERED_MODEL, droppable=True),
    _table(
        "model_versions",
        "name version",
        REGISTERED_MODEL,
        links={"run_id": RUN},
        sources="source storage_location",
        pages="run_link",
        fixed="user_id run_link",
        versioned=True,
    ),
    _table(
        "model_version_tags", "key name version", REGISTERED_MODEL, droppable=True, versioned=True
    ),
    _table(
        "registered_model_aliases", "alias name", REGISTERED_MODEL, droppable=True, versioned=True
    ),
    _table("datasets", "experiment_id name digest", EXPERIMENT, rule=APPEND),
    _table("metrics", "key timestamp step run_uuid value is_nan", RUN, rule=APPEND),
    _table(
        "logged_model_metrics",
        "model_id metric_name metric_timestamp_ms metric_step run_id",
        MODEL,
        rule=APPEND,
        links={"experiment_id": EXPERIMENT, "run_id": RUN, "dataset_uuid": DATASET},
    ),
    # Both ends of an input are typed ids, see ENDS; the tags hang on the input.
    _table("inputs", "source_type source_id destination_type destination_id", "", rule=APPEND),
    _table("input_tags", "input_uuid name", "", rule=APPEND),
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
    # MLflow's words are those of this file.
    "entity_associations": {
        kind: kind for kind in (EXPERIMENT, EVALUATION_DATASET, RUN, MODEL, TRACE)
    },
}
"""What `source_type` and `destination_type` say, and the kind of thing that the id names."""

_NOT_RECORDS = (
    "alembic_version workspaces jobs job_locks scheduler_leases secrets endpoints"
    " endpoint_bindings endpoint_model_mappings endpoint_tags model_definitions guardrails"
    " guardrail_configs budget_policies webhooks webhook_events"
).split()
_NOT_RECORDS_PREFIXES = ("mcp_", "skill", "sql_", "sqlite_")


def rows_of(kind: str) -> List[Table]:
    """The tables whose rows come with one kind of thing, the thing's own row first."""
    return [table for table in TABLES if table.owner == kind and table.rule != APPEND]


def append_only() -> List[Table]:
    return [table for table in TABLES if table.rule == APPEND]


def table_of(name: str) -> Table:
    return next(table for table in TABLES if table.name == name)


def is_left_out(name: str) -> bool:
    """True for a table that may hold records which this toolkit doesn't carry (yet)."""
    known = (*_NOT_RECORDS, *(table.name for table in TABLES))
    return name not in known and not name.startswith(_NOT_RECORDS_PREFIXES)
