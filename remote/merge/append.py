"""Rows that are only ever added: metrics, datasets, inputs."""

from __future__ import annotations

from remote.host import schema
from remote.merge.session import Session
from remote.merge.stage import translated

ROWS = 100_000
"""Rows per transaction: about half a second, after which others may write."""


def append_datasets(session: Session) -> None:
    """Inserts what is missing, and learns which uuid a dataset has here."""
    (table,) = (each for each in schema.append_only() if each.name == "datasets")
    if table.name not in session.shared:
        return
    session.database.execute(_insert(session, table, "1", _lives(table)))
    session.database.execute(
        "INSERT OR REPLACE INTO base.dataset_map SELECT d.dataset_uuid, o.dataset_uuid"
        " FROM delta.datasets d JOIN temp.placement p ON p.theirs = d.experiment_id"
        " JOIN main.datasets o ON o.experiment_id = p.ours AND o.name = d.name"
        " AND o.digest = d.digest"
    )


def append_rows(session: Session) -> None:
    """Everything else, in the order of the table of tables, some rows at a time."""
    _list_the_living(session)
    for table in session.tables(schema.append_only()):
        if table.name != "datasets":
            _append_in_parts(session, table)


def _append_in_parts(session: Session, table: schema.Table) -> None:
    last = session.database.execute(f'SELECT max(rowid) FROM delta."{table.name}"').fetchone()[0]
    for start in range(0, last or 0, ROWS):
        part = f"d.rowid > {start} AND d.rowid <= {start + ROWS}"
        with session.transaction():
            if table.name == "metrics":
                _append_metrics(session, table, part)
            else:
                session.database.execute(_insert(session, table, part, _lives(table)))


def _append_metrics(session: Session, table: schema.Table, part: str) -> None:
    newest = session.database.execute("SELECT max(rowid) FROM main.metrics").fetchone()[0] or 0
    done = session.database.execute(_insert(session, table, part, _lives(table)))
    session.metric_rows += done.rowcount
    session.database.execute(
        "INSERT OR IGNORE INTO temp.touched SELECT DISTINCT run_uuid FROM main.metrics"
        " WHERE rowid > ?",
        (newest,),
    )


def _insert(session: Session, table: schema.Table, part: str, lives: str) -> str:
    columns = session.shared[table.name]
    names = ", ".join(f'"{column}"' for column in columns)
    values = ", ".join(_value(session, table, column) for column in columns)
    order = ", ".join(f'd."{column}"' for column in table.key)
    # In the order of the key's index: a third faster than in the order of logging.
    return (
        f'INSERT OR IGNORE INTO main."{table.name}" ({names})'
        f' SELECT {values} FROM delta."{table.name}" d WHERE {part} AND {lives} ORDER BY {order}'
    )


def _value(session: Session, table: schema.Table, column: str) -> str:
    if table.name == "inputs" and column in ("source_id", "destination_id"):
        dataset = f"(SELECT ours FROM base.dataset_map WHERE theirs = d.{column})"
        kind = column.replace("_id", "_type")
        return f"CASE d.{kind} WHEN 'DATASET' THEN {dataset} ELSE d.{column} END"
    return translated(session, table, column)


def _list_the_living(session: Session) -> None:
    """Runs and models that came from this target and are here."""
    for kind in (schema.KINDS[schema.RUN], schema.KINDS[schema.MODEL]):
        session.database.execute(
            f"CREATE TABLE temp.living_{kind.name} (id PRIMARY KEY) WITHOUT ROWID"
        )
        if kind.table in session.shared:
            session.database.execute(
                f"INSERT INTO temp.living_{kind.name} SELECT id FROM base.entity"
                f" WHERE kind = '{kind.name}' AND id IN (SELECT {kind.column} FROM main.{kind.table})"
            )


def _lives(table: schema.Table) -> str:
    """The condition that all that a row hangs on is here."""
    if table.name == "inputs":
        return f"{_end_lives('source')} AND {_end_lives('destination')}"
    if table.name == "input_tags":
        return "d.input_uuid IN (SELECT input_uuid FROM main.inputs)"
    links = {table.owner_column: table.owner, **table.links}
    each = [
        _here(f'd."{column}"', kind) for column, kind in links.items() if kind != schema.DATASET
    ]
    return " AND ".join(each)


def _end_lives(end: str) -> str:
    """An end of a type that isn't in the table of types is nowhere here."""
    each = (
        f"(d.{end}_type = '{name}' AND {_here(f'd.{end}_id', kind)})"
        for name, kind in schema.INPUT_ENDS.items()
    )
    return f"({' OR '.join(each)})"


def _here(value: str, kind: str) -> str:
    where = {
        schema.EXPERIMENT: "SELECT theirs FROM temp.placement",
        schema.DATASET: "SELECT theirs FROM base.dataset_map",
        schema.RUN: "SELECT id FROM temp.living_run",
        schema.MODEL: "SELECT id FROM temp.living_model",
    }
    return f"{value} IN ({where[kind]})"
