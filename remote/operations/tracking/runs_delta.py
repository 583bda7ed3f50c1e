"""What is sent to a target that runs are pushed to: deltas of the project's own store."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from remote.agent.replication.receive import REGISTRY, RUNS
from remote.operations.tracking.select_runs import OF_SELECTED, SelectedRuns
from remote.tracking import delta, schema
from remote.tracking.merge.apply import DELETED_THERE


def pack(store: Path, folder: Path, selected: SelectedRuns, root: Path) -> None:
    """Write the deltas of what is selected into `folder`; raises StoreError."""
    ids = dict(selected.ids)
    models = ids.pop(schema.REGISTERED_MODEL, [])
    delta.write(store, folder / RUNS, {}, roots=[str(root)], chosen=ids)
    with closing(sqlite3.connect(folder / RUNS)) as database, database:
        _forget_others(database)
        database.execute("DELETE FROM tags WHERE key = ?", (DELETED_THERE,))
    if models:
        only = {schema.REGISTERED_MODEL: models}
        file = folder / REGISTRY
        delta.write(store, file, {}, roots=[str(root)], registry=True, chosen=only)
        with closing(sqlite3.connect(file)) as database, database:
            _forget_others(database)
            _forget_versions(database, selected)


def _forget_others(database: sqlite3.Connection) -> None:
    """Only what was selected is anybody's business there."""
    database.execute(
        "DELETE FROM experiments WHERE experiment_id NOT IN"
        f" (SELECT CAST(id AS INTEGER) FROM entities WHERE kind = '{schema.EXPERIMENT}')"
    )
    database.execute("UPDATE meta SET value = '[]' WHERE key = 'left_out'")


def _forget_versions(database: sqlite3.Connection, selected: SelectedRuns) -> None:
    """Those of models that don't go."""
    for kind in (schema.RUN, schema.MODEL):
        database.execute(f"CREATE TEMP TABLE {kind} (id PRIMARY KEY) WITHOUT ROWID")
        ids = [(identity,) for identity in selected.ids[kind]]
        database.executemany(f"INSERT INTO {kind} VALUES (?)", ids)
    database.execute(f"DELETE FROM model_versions WHERE NOT coalesce({OF_SELECTED}, 0)")
    for table in ("model_version_tags", "registered_model_aliases"):
        database.execute(
            f"DELETE FROM {table} WHERE (name, version) NOT IN"
            " (SELECT name, version FROM model_versions)"
        )
