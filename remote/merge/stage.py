"""Copies the delta's rows to temporary tables, in local ids and paths."""

from __future__ import annotations

from collections.abc import Iterable

from remote.host import schema
from remote.merge.session import Session
from remote.merge.sql import staged

TEMPORARY = """
CREATE TABLE temp.batch (id PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE temp.placement (theirs INTEGER PRIMARY KEY, ours INTEGER UNIQUE, name TEXT);
CREATE TABLE temp.touched (id PRIMARY KEY) WITHOUT ROWID;
"""


def prepare(session: Session) -> None:
    """Makes the temporary tables, and triggers that note every run whose rows really change."""
    session.database.executescript(TEMPORARY)
    for table in session.tables([each for each in schema.TABLES if each.rule != schema.APPEND]):
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


def batch(session: Session, ids: Iterable[object]) -> None:
    session.database.execute("DELETE FROM temp.batch")
    session.database.executemany(
        "INSERT OR IGNORE INTO temp.batch VALUES (?)", [(identity,) for identity in ids]
    )


def stage(session: Session, table: schema.Table, where: str) -> None:
    """The rows `d` of delta's table for which `where` holds."""
    columns = session.shared[table.name]
    names = ", ".join(f'"{column}"' for column in columns)
    values = ", ".join(translated(session, table, column) for column in columns)
    session.database.execute(f"DELETE FROM {staged(table)}")
    session.database.execute(
        f"INSERT OR IGNORE INTO {staged(table)} ({names})"
        f' SELECT {values} FROM delta."{table.name}" d WHERE {where}'
    )


def translated(session: Session, table: schema.Table, column: str) -> str:
    """The SQL for a column of delta's row `d`, in local terms."""
    links = {table.owner_column: table.owner, **table.links}
    if column == table.path:
        return _local_path(session, table)
    if table.name == "experiments" and column == "name":
        return "(SELECT name FROM temp.placement WHERE theirs = d.experiment_id)"
    if links.get(column) == schema.EXPERIMENT:
        return _local_experiment(column)
    if links.get(column) == schema.DATASET:
        return f'(SELECT ours FROM base.dataset_map WHERE theirs = d."{column}")'
    return f'd."{column}"'


def _local_experiment(column: str) -> str:
    return f'(SELECT ours FROM temp.placement WHERE theirs = d."{column}")'


def _local_path(session: Session, table: schema.Table) -> str:
    """Where a local run would have put its artifacts."""
    root = "'" + str(session.artifact_root).replace("'", "''") + "/'"
    folder = f"{root} || {_local_experiment('experiment_id')}"
    if table.owner == schema.EXPERIMENT:
        return folder
    models = "models/" if table.owner == schema.MODEL else ""
    return f"{folder} || '/{models}' || d.\"{table.owner_column}\" || '/artifacts'"


def _watch(session: Session, table: schema.Table) -> None:
    for event, row in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")):
        session.database.execute(
            f'CREATE TEMP TRIGGER "{table.name}_{event}" AFTER {event} ON main."{table.name}"'
            f' BEGIN INSERT OR IGNORE INTO touched VALUES ({row}."{table.owner_column}"); END'
        )
