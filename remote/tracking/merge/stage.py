"""Takes the delta's rows over in local ids and paths.

Rows that can change go to temporary tables, where they are compared; rows that are only ever added
(metrics, data sets, inputs) go straight into the store.
"""

from __future__ import annotations

from remote.tracking import schema
from remote.tracking.delta import parts
from remote.tracking.merge.incoming import MAPS, references_exist, refuse_unfit
from remote.tracking.merge.merge_session import MergeSession
from remote.tracking.merge.merge_sql import names, staged

ROWS = 250_000
"""Rows per transaction: one to two seconds, after which others may write."""
TEMPORARY = """
CREATE TABLE temp.entities (kind TEXT, id, signature TEXT, PRIMARY KEY (kind, id)) WITHOUT ROWID;
INSERT OR IGNORE INTO temp.entities SELECT kind, id, signature FROM delta.entities;
CREATE TABLE temp.batch (id PRIMARY KEY, experiment INTEGER) WITHOUT ROWID;
CREATE TABLE temp.placement (theirs INTEGER PRIMARY KEY, ours INTEGER UNIQUE, name TEXT);
CREATE TABLE temp.touched (id PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE temp.present (kind TEXT, id, PRIMARY KEY (kind, id)) WITHOUT ROWID;
CREATE TABLE temp.foreign_thing (kind TEXT, id, PRIMARY KEY (kind, id)) WITHOUT ROWID;
CREATE TABLE temp.place (theirs TEXT PRIMARY KEY, ours TEXT) WITHOUT ROWID;
CREATE TABLE temp.excluded (name TEXT, version, PRIMARY KEY (name, version)) WITHOUT ROWID;
"""
"""What a delta brings is read once: in a damaged table, each way to look finds other rows."""


def prepare(session: MergeSession) -> None:
    """Make the temporary tables, and triggers that note every run whose rows really change."""
    run = session.database.execute
    session.database.executescript(TEMPORARY)
    refuse_unfit(session)
    for table in session.tables([table for table in schema.TABLES if table.rule != schema.APPEND]):
        columns = names(session.shared[table.name])
        run(f'CREATE TABLE {staged(table)} AS SELECT {columns} FROM main."{table.name}" WHERE 0')
        run(
            f'CREATE UNIQUE INDEX temp."key_{table.name}"'
            f' ON "theirs_{table.name}" ({names(table.key)})'
        )
        if table.owner == schema.RUN:
            for event, row in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")):
                run(
                    f'CREATE TEMP TRIGGER "{table.name}_{event}" AFTER {event}'
                    f' ON main."{table.name}" BEGIN'
                    f' INSERT OR IGNORE INTO touched VALUES ({row}."{table.owner_column}"); END'
                )
    keep_spans(session)


def stage(session: MergeSession, table: schema.Table) -> None:
    """The rows `d` of delta's table that belong to the batch."""
    wanted = f'd."{table.owner_column}" IN (SELECT id FROM temp.batch)'
    if table.owner == schema.EXPERIMENT:
        wanted = (
            "d.experiment_id IN (SELECT theirs FROM temp.placement"
            " WHERE ours IN (SELECT id FROM temp.batch))"
        )
    elif table.versioned:
        wanted += (
            " AND NOT EXISTS (SELECT 1 FROM temp.excluded x"
            " WHERE x.name = d.name AND x.version = d.version)"
        )
    session.database.execute(f"DELETE FROM {staged(table)}")
    session.database.execute(_insert(session, table, staged(table), wanted))


def keep_spans(session: MergeSession) -> None:
    """Of traces that were archived after they were pulled, leave the spans here as they are.

    MLflow's archive empties them, and notes in two tags that they are in a file, and where.
    """
    if not {"spans", "trace_tags"} <= session.shared.keys():
        return
    run = session.database.execute
    run(
        "CREATE TEMP TABLE archived AS SELECT DISTINCT d.trace_id AS id FROM delta.spans d"
        " JOIN main.spans o ON o.trace_id = d.trace_id AND o.span_id = d.span_id"
        " WHERE coalesce(d.content, '') = '' AND o.content != ''"
    )
    run("DELETE FROM delta.spans WHERE content = '' AND trace_id IN temp.archived")
    of_archived = "WHERE request_id IN temp.archived AND key"
    run(f"DELETE FROM delta.trace_tags {of_archived} = 'mlflow.trace.archiveLocation'")
    run(
        "UPDATE delta.trace_tags SET value = (SELECT o.value FROM main.trace_tags o"
        " WHERE o.request_id = trace_tags.request_id AND o.key = trace_tags.key)"
        f" {of_archived} = 'mlflow.trace.spansLocation'"
    )


def append_datasets(session: MergeSession) -> None:
    """Inserts what is missing, and learns which uuid a dataset has here."""
    table = schema.table_of("datasets")
    if table.name in session.shared:
        session.database.execute(_insert(session, table, "main.datasets", references_exist(table)))
        session.database.execute(
            "INSERT OR REPLACE INTO base.dataset_map SELECT d.dataset_uuid, o.dataset_uuid"
            " FROM delta.datasets d JOIN temp.placement p ON p.theirs = d.experiment_id"
            " JOIN main.datasets o ON o.experiment_id = p.ours AND o.name = d.name"
            " AND o.digest = d.digest"
        )


def append_rows(session: MergeSession) -> None:
    """Everything else, in the order of the table of tables, some rows at a time."""
    for table in session.tables(schema.append_only()):
        if table.name == "datasets":
            continue
        for start, end in parts(session.database, f'delta."{table.name}"', ROWS):
            part = f"d.rowid > {start} AND d.rowid <= {end} AND {references_exist(table)}"
            with session.transaction():
                newest = session.last_row("main.metrics")
                insert = _insert(session, table, f'main."{table.name}"', part)
                inserted = session.database.execute(insert)
                if table.name == "metrics":
                    session.metric_rows += inserted.rowcount
                    session.database.execute(
                        "INSERT OR IGNORE INTO temp.touched SELECT DISTINCT run_uuid"
                        " FROM main.metrics NOT INDEXED WHERE rowid > ?",
                        (newest,),
                    )
            session.advance(min(ROWS, end - start))


def _insert(session: MergeSession, table: schema.Table, into: str, condition: str) -> str:
    """Takes over those rows `d` of the delta's table that the condition holds for."""
    columns = session.shared[table.name]
    values = ", ".join(_translated(session, table, column) for column in columns)
    return (
        f"INSERT OR IGNORE INTO {into} ({names(columns)})"
        f' SELECT {values} FROM delta."{table.name}" d WHERE {condition}'
    )


def _translated(session: MergeSession, table: schema.Table, column: str) -> str:
    """The SQL for a column of delta's row `d`, in local terms."""
    value = f'd."{column}"'
    if column == "workspace":
        return "'default'"
    if column == table.path:
        return _local_path(session, table, value)
    if column in table.pages:
        return f"web_link({value})"
    if column in table.sources:
        return f"(SELECT ours FROM temp.place WHERE theirs = {value})"
    if table.name in schema.ENDS and column in ("source_id", "destination_id"):
        # A typed id.
        branches = (
            f"WHEN '{name}' THEN CAST({_local_id(kind, value)} AS TEXT)"
            for name, kind in schema.ENDS[table.name].items()
            if kind in MAPS
        )
        return f"CASE d.{column[:-3]}_type {' '.join(branches)} ELSE {value} END"
    if table.name == "experiments" and column == "name":
        return "(SELECT name FROM temp.placement WHERE theirs = d.experiment_id)"
    kind = table.references.get(column)
    return _local_id(kind, value) if kind in MAPS else value


def _local_id(kind: str, value: str) -> str:
    return f"(SELECT ours FROM {MAPS[kind]} WHERE theirs = {value})"


def _local_path(session: MergeSession, table: schema.Table, value: str) -> str:
    """Where a local run would have put its artifacts; a bucket is the same from here."""
    root = "'" + str(session.artifact_root).replace("'", "''") + "/'"
    if table.owner == schema.EXPERIMENT:
        return f"{root} || {_local_id(schema.EXPERIMENT, 'd.experiment_id')}"
    owner = f'd."{table.owner_column}"'
    experiment = f"(SELECT experiment FROM temp.batch WHERE id = {owner})"
    folder = schema.KINDS[table.owner].folder
    path = f"{root} || {experiment} || '/{folder}' || {owner} || '/artifacts'"
    path = f"CASE WHEN lies_elsewhere({value}) THEN {value} ELSE {path} END"
    if not table.path_keys:
        return path
    keys = ", ".join(f"'{key}'" for key in table.path_keys)
    return f"CASE WHEN d.key IN ({keys}) THEN {path} ELSE {value} END"
