"""Takes the delta's rows over in local ids and paths.

Rows that can change go to temporary tables, where they are compared; rows that are only ever added
(metrics, data sets, inputs) go straight into the store.
"""

from __future__ import annotations

from typing import Iterable, Tuple

from remote.tracking import schema
from remote.tracking.merge.incoming import references_exist
from remote.tracking.merge.merge_session import MergeSession
from remote.tracking.merge.merge_sql import staged

ROWS = 250_000
"""Rows per transaction: one to two seconds, after which others may write."""
TEMPORARY = """
CREATE TABLE temp.batch (id PRIMARY KEY, experiment INTEGER) WITHOUT ROWID;
CREATE TABLE temp.placement (theirs INTEGER PRIMARY KEY, ours INTEGER UNIQUE, name TEXT);
CREATE TABLE temp.touched (id PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE temp.present (kind TEXT, id, PRIMARY KEY (kind, id)) WITHOUT ROWID;
CREATE TABLE temp.place (theirs TEXT PRIMARY KEY, ours TEXT) WITHOUT ROWID;
CREATE TABLE temp.excluded (name TEXT, version, PRIMARY KEY (name, version)) WITHOUT ROWID;
"""


def prepare(session: MergeSession) -> None:
    """Make the temporary tables, and triggers that note every run whose rows really change."""
    session.database.executescript(TEMPORARY)
    for table in session.tables([table for table in schema.TABLES if table.rule != schema.APPEND]):
        key = ", ".join(f'"{column}"' for column in table.key)
        columns = ", ".join(f'"{column}"' for column in session.shared[table.name])
        session.database.execute(
            f'CREATE TABLE {staged(table)} AS SELECT {columns} FROM main."{table.name}" WHERE 0'
        )
        session.database.execute(
            f'CREATE UNIQUE INDEX temp."key_{table.name}" ON "theirs_{table.name}" ({key})'
        )
        if table.owner == schema.RUN:
            _watch(session, table)


def batch(session: MergeSession, things: Iterable[Tuple[object, object]]) -> None:
    """Whose rows are staged next: (id, the local experiment or None)."""
    session.database.execute("DELETE FROM temp.batch")
    session.database.executemany("INSERT OR IGNORE INTO temp.batch VALUES (?, ?)", things)


def stage(session: MergeSession, table: schema.Table) -> None:
    """The rows `d` of delta's table that belong to the batch."""
    columns = session.shared[table.name]
    names = ", ".join(f'"{column}"' for column in columns)
    values = ", ".join(_translated(session, table, column) for column in columns)
    session.database.execute(f"DELETE FROM {staged(table)}")
    session.database.execute(
        f"INSERT OR IGNORE INTO {staged(table)} ({names})"
        f' SELECT {values} FROM delta."{table.name}" d WHERE {_wanted(table)}'
    )


def append_datasets(session: MergeSession) -> None:
    """Inserts what is missing, and learns which uuid a dataset has here."""
    table = schema.table_of("datasets")
    if table.name not in session.shared:
        return
    session.database.execute(_insert(session, table, "1"))
    session.database.execute(
        "INSERT OR REPLACE INTO base.dataset_map SELECT d.dataset_uuid, o.dataset_uuid"
        " FROM delta.datasets d JOIN temp.placement p ON p.theirs = d.experiment_id"
        " JOIN main.datasets o ON o.experiment_id = p.ours AND o.name = d.name"
        " AND o.digest = d.digest"
    )


def append_rows(session: MergeSession) -> None:
    """Everything else, in the order of the table of tables, some rows at a time."""
    for table in session.tables(schema.append_only()):
        if table.name != "datasets":
            _append_in_parts(session, table)


def _translated(session: MergeSession, table: schema.Table, column: str) -> str:
    """The SQL for a column of delta's row `d`, in local terms."""
    value = f'd."{column}"'
    links = {table.owner_column: table.owner, **table.links}
    if column == "workspace":
        return "'default'"
    if column == table.path:
        return _local_path(session, table, value)
    if column in table.sources:
        return f"(SELECT ours FROM temp.place WHERE theirs = {value})"
    if table.name in schema.ENDS and column in ("source_id", "destination_id"):
        return _local_end(table, column)
    if table.name == "experiments" and column == "name":
        return "(SELECT name FROM temp.placement WHERE theirs = d.experiment_id)"
    if links.get(column) == schema.EXPERIMENT:
        return _local_experiment(value)
    if links.get(column) == schema.DATASET:
        return f"(SELECT ours FROM base.dataset_map WHERE theirs = {value})"
    return value


def _wanted(table: schema.Table) -> str:
    if table.owner == schema.EXPERIMENT:
        return (
            "d.experiment_id IN (SELECT theirs FROM temp.placement"
            " WHERE ours IN (SELECT id FROM temp.batch))"
        )
    where = f'd."{table.owner_column}" IN (SELECT id FROM temp.batch)'
    if table.versioned:
        where += (
            " AND NOT EXISTS (SELECT 1 FROM temp.excluded x"
            " WHERE x.name = d.name AND x.version = d.version)"
        )
    return where


def _local_experiment(value: str) -> str:
    return f"(SELECT ours FROM temp.placement WHERE theirs = {value})"


def _local_end(table: schema.Table, column: str) -> str:
    """A typed id: those of experiments and of data sets differ from store to store."""
    value, kind = f'd."{column}"', column.replace("_id", "_type")
    experiment, dataset = _local_experiment(value), "base.dataset_map WHERE theirs"
    cases = {
        schema.EXPERIMENT: f"CAST({experiment} AS TEXT)",
        schema.DATASET: f"(SELECT ours FROM {dataset} = {value})",
    }
    branches = (
        f"WHEN '{name}' THEN {cases[meant]}"
        for name, meant in schema.ENDS[table.name].items()
        if meant in cases
    )
    return f"CASE d.{kind} {' '.join(branches)} ELSE {value} END"


def _local_path(session: MergeSession, table: schema.Table, value: str) -> str:
    """Where a local run would have put its artifacts."""
    root = "'" + str(session.artifact_root).replace("'", "''") + "/'"
    if table.owner == schema.EXPERIMENT:
        return f"{root} || {_local_experiment('d.experiment_id')}"
    owner = f'd."{table.owner_column}"'
    experiment = f"(SELECT experiment FROM temp.batch WHERE id = {owner})"
    folder = schema.KINDS[table.owner].folder
    path = f"{root} || {experiment} || '/{folder}' || {owner} || '/artifacts'"
    if not table.path_keys:
        return path
    keys = ", ".join(f"'{key}'" for key in table.path_keys)
    return f"CASE WHEN d.key IN ({keys}) THEN {path} ELSE {value} END"


def _watch(session: MergeSession, table: schema.Table) -> None:
    for event, row in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")):
        session.database.execute(
            f'CREATE TEMP TRIGGER "{table.name}_{event}" AFTER {event} ON main."{table.name}"'
            f' BEGIN INSERT OR IGNORE INTO touched VALUES ({row}."{table.owner_column}"); END'
        )


def _append_in_parts(session: MergeSession, table: schema.Table) -> None:
    last = session.database.execute(f'SELECT max(rowid) FROM delta."{table.name}"').fetchone()[0]
    for start in range(0, last or 0, ROWS):
        end = min(start + ROWS, last)
        part = f"d.rowid > {start} AND d.rowid <= {end}"
        with session.transaction():
            if table.name == "metrics":
                _append_metrics(session, table, part)
            else:
                session.database.execute(_insert(session, table, part))
        session.advance(end - start)


def _append_metrics(session: MergeSession, table: schema.Table, part: str) -> None:
    newest = session.database.execute("SELECT max(rowid) FROM main.metrics").fetchone()[0] or 0
    inserted = session.database.execute(_insert(session, table, part))
    session.metric_rows += inserted.rowcount
    session.database.execute(
        "INSERT OR IGNORE INTO temp.touched SELECT DISTINCT run_uuid FROM main.metrics"
        " WHERE rowid > ?",
        (newest,),
    )


def _insert(session: MergeSession, table: schema.Table, part: str) -> str:
    columns = session.shared[table.name]
    names = ", ".join(f'"{column}"' for column in columns)
    values = ", ".join(_translated(session, table, column) for column in columns)
    return (
        f'INSERT OR IGNORE INTO main."{table.name}" ({names}) SELECT {values}'
        f' FROM delta."{table.name}" d WHERE {part} AND {references_exist(table)}'
    )
