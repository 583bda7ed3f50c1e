"""Makes a store of the rows of a delta, and brings it to a later revision of MLflow's schema.

    python migrate_delta.py DELTA BEFORE AFTER STORE

Run by an interpreter that has MLflow, and need not have this toolkit. STORE is a plain name.
"""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

BESIDES = {"meta", "entities", "gone"}
"""What a delta says of itself."""


def main(delta: str, before: str, after: str, store: str) -> None:
    """Raises what MLflow does where its migrations fail."""
    from alembic import command
    from mlflow.store.db.utils import _get_alembic_config
    from mlflow.store.tracking.dbmodels.initial_models import Base
    from sqlalchemy import create_engine

    url = f"sqlite:///{store}"
    Base.metadata.create_all(create_engine(url))
    config = _get_alembic_config(url)
    command.upgrade(config, before)
    fill(store, delta)
    command.upgrade(config, after)


def fill(store: str, delta: str) -> None:
    """Copy a delta's rows; it may come from elsewhere: its schema must not call functions."""
    with closing(sqlite3.connect(store, uri=True)) as database, database:
        database.execute("PRAGMA trusted_schema = OFF")
        database.execute("ATTACH ? AS delta", (Path(delta).as_uri() + "?mode=ro",))
        tables = "SELECT name FROM delta.sqlite_master WHERE type = 'table'"
        for name in [row[0] for row in database.execute(tables).fetchall()]:
            columns = set(_columns(database, "main", name)) & set(_columns(database, "delta", name))
            names = ", ".join(f'"{column}"' for column in sorted(columns))
            if name in BESIDES:
                database.execute(f"CREATE TABLE main.{name} AS SELECT * FROM delta.{name}")
            elif columns and name != "alembic_version":
                rows = f'SELECT {names} FROM delta."{name}"'
                database.execute(f'INSERT INTO main."{name}" ({names}) {rows}')


def _columns(database: sqlite3.Connection, schema: str, table: str) -> list[str]:
    """Without those that the database computes; the name of a delta's table is anybody's."""
    quoted = table.replace('"', '""')
    return [row[1] for row in database.execute(f'PRAGMA {schema}.table_info("{quoted}")')]


if __name__ == "__main__":
    main(*sys.argv[1:])
