"""Rows that are only ever added: metrics, datasets, inputs."""

from __future__ import annotations

from remote.tracking import schema
from remote.tracking.merge.incoming import references_exist
from remote.tracking.merge.merge_session import MergeSession
from remote.tracking.merge.stage import translated

ROWS = 250_000
"""Rows per transaction: one to two seconds, after which others may write."""


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
    done = session.database.execute(_insert(session, table, part))
    session.metric_rows += done.rowcount
    session.database.execute(
        "INSERT OR IGNORE INTO temp.touched SELECT DISTINCT run_uuid FROM main.metrics"
        " WHERE rowid > ?",
        (newest,),
    )


def _insert(session: MergeSession, table: schema.Table, part: str) -> str:
    columns = session.shared[table.name]
    names = ", ".join(f'"{column}"' for column in columns)
    values = ", ".join(translated(session, table, column) for column in columns)
    return (
        f'INSERT OR IGNORE INTO main."{table.name}" ({names}) SELECT {values}'
        f' FROM delta."{table.name}" d WHERE {part} AND {references_exist(table)}'
    )
