"""What is sent to a target that is given runs: deltas of the project's own store."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from remote.agent.replication.receive import REGISTRY, RUNS
from remote.operations.tracking.select_runs import OF_CHOSEN, Chosen
from remote.tracking import delta, schema
from remote.tracking.merge.apply import DELETED_THERE


def pack(store: Path, folder: Path, chosen: Chosen, root: Path) -> None:
    """Write the deltas of what was chosen into `folder`; raises StoreError."""
    things = dict(chosen.things)
    models = things.pop(schema.REGISTERED_MODEL, [])
    delta.write(store, folder / RUNS, {}, roots=[str(root)], chosen=things)
    with closing(sqlite3.connect(folder / RUNS)) as database, database:
        _forget_others(database)
        database.execute("DELETE FROM tags WHERE key = ?", (DELETED_THERE,))
    if models:
        only = {schema.REGISTERED_MODEL: models}
        file = folder / REGISTRY
        delta.write(store, file, {}, roots=[str(root)], registry=True, chosen=only)
        with closing(sqlite3.connect(file)) as database, database:
            _forget_others(database)
            _forget_versions(database, chosen)


def _forget_others(database: sqlite3.Connection) -> None:
    """Only what was chosen is anybody's business there."""
    database.execute(
        "DELETE FROM experiments WHERE experiment_id NOT IN"
        f" (SELECT CAST(id AS INTEGER) FROM entities WHERE kind = '{schema.EXPERIMENT}')"
    )
    database.execute("UPDATE meta SET value = '[]' WHERE key = 'left_out'")


def _forget_versions(database: sqlite3.Connection, chosen: Chosen) -> None:
    """Those of models that don't go."""
    for kind in (schema.RUN, schema.MODEL):
        database.execute(f"CREATE TEMP TABLE {kind} (id PRIMARY KEY) WITHOUT ROWID")
        ids = [(identity,) for identity in chosen.things[kind]]
        database.executemany(f"INSERT INTO {kind} VALUES (?)", ids)
    database.execute(f"DELETE FROM model_versions WHERE NOT coalesce({OF_CHOSEN}, 0)")
    for table in ("model_version_tags", "registered_model_aliases"):
        database.execute(
            f"DELETE FROM {table} WHERE (name, version) NOT IN"
            " (SELECT name, version FROM model_versions)"
        )
