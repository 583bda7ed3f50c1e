"""Gives a job its MLflow run by plain SQL.

Importing mlflow costs seconds and needs the project's environment; a job whose environment can't
even be built must still leave a record. The rows are those that `MlflowClient.create_run`,
`log_param` and `set_terminated` write (compared row for row in the tests, MLflow 2.16 and 3.17).
Everything here raises StoreError.
"""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Dict, List, Mapping, NamedTuple, Optional
from urllib.parse import unquote, urlsplit

from remote.errors import StoreError
from remote.tracking.store import (
    columns_of,
    connect_read_only,
    is_store,
    refuse_foreign,
    unusable,
    writing,
)

MAX_PARAM = 6000  # mlflow.utils.validation.MAX_PARAM_VAL_LENGTH, characters
MAX_TAG = 8000  # mlflow.utils.validation.MAX_TAG_VAL_LENGTH, characters


class RecordedRun(NamedTuple):
    run_id: str
    experiment_id: str
    artifact_dir: Path


def begin(
    store: Path,
    *,
    artifact_root: Path,
    experiment: str,
    run_id: str,
    run_name: str,
    user: str,
    source_name: str,
    tags: Mapping[str, str],
    params: Mapping[str, str],
    start_ms: int,
    status: str = "RUNNING",
) -> RecordedRun:
    """Inserts a run (RUNNING or SCHEDULED), and its experiment where no active one has that name.

    Raises StoreError when a deleted experiment has the name (MLflow refuses it too).
    """
    if not re.match(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}\Z", run_id):
        raise StoreError(f"'{run_id}' can't be the id of an MLflow run.")
    root = Path(os.path.abspath(artifact_root))
    own_tags = {
        "mlflow.user": user,
        "mlflow.source.name": source_name,
        "mlflow.source.type": tags.get("mlflow.source.type", "LOCAL"),
        "mlflow.runName": run_name,
    }
    with writing(store) as database:
        row = _experiment(database, experiment, root, start_ms)
        artifact_dir = _artifact_dir(row, root, run_id)
        values: Dict[str, object] = dict(
            run_uuid=run_id,
            name=run_name,
            source_type="UNKNOWN",
            source_name="",
            entry_point_name="",
            user_id=user,
            status=status,
            start_time=start_ms,
            source_version="",
            lifecycle_stage="active",
            artifact_uri=str(artifact_dir),
            experiment_id=row["experiment_id"],
        )
        # What this version of the schema has columns for.
        columns = [name for name in columns_of(database, "main", "runs") if name in values]
        database.execute(
            f"INSERT INTO runs ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",
            [values[name] for name in columns],
        )
        put_tags(database, run_id, {**tags, **own_tags})
        put_params(database, run_id, params)
    artifact_dir.mkdir(parents=True, exist_ok=True)
    return RecordedRun(run_id, str(row["experiment_id"]), artifact_dir)


def update(store: Path, run_id: str, tags: Mapping[str, str], **values: object) -> None:
    """Give a run these tags, in place of those of the same names, and its row these values."""
    with writing(store) as database:
        if not database.execute("SELECT 1 FROM runs WHERE run_uuid = ?", (run_id,)).fetchone():
            raise StoreError(f"{store} has no run {run_id}.")
        for column, value in values.items():
            database.execute(f"UPDATE runs SET {column} = ? WHERE run_uuid = ?", (value, run_id))
        put_tags(database, run_id, tags)


def run_status(store: Path, run_id: str) -> Optional[str]:
    """RUNNING, FINISHED, FAILED, KILLED or SCHEDULED; None when the store has no such run."""
    rows = read_rows(store, "SELECT status FROM runs WHERE run_uuid = ?", run_id)
    return str(rows[0][0]) if rows else None


def read_rows(store: Path, query: str, *values: str) -> List[sqlite3.Row]:
    """What a query finds."""
    refuse_foreign(store)
    try:
        with closing(connect_read_only(store)) as database:
            database.row_factory = sqlite3.Row
            return database.execute(query, values).fetchall()
    except sqlite3.Error as error:
        raise unusable(store, error) from error


def put_tags(database: sqlite3.Connection, run_id: str, tags: Mapping[str, str]) -> None:
    """Give a run these tags, in place of those of the same names."""
    database.executemany(
        "INSERT OR REPLACE INTO tags (run_uuid, key, value) VALUES (?, ?, ?)",
        [(run_id, key, value[:MAX_TAG]) for key, value in tags.items()],
    )


def put_params(database: sqlite3.Connection, run_id: str, params: Mapping[str, str]) -> None:
    """Give a run the parameters that it doesn't have yet."""
    database.executemany(
        "INSERT OR IGNORE INTO params (run_uuid, key, value) VALUES (?, ?, ?)",
        [(run_id, key, value[:MAX_PARAM]) for key, value in params.items()],
    )


def artifact_dir(store: Path, run_id: str) -> Optional[Path]:
    """Where the artifacts of a run that `begin` made lie; None without store or run."""
    if not is_store(store):
        return None
    rows = read_rows(store, "SELECT artifact_uri FROM runs WHERE run_uuid = ?", run_id)
    return Path(rows[0][0]) if rows else None


def _experiment(
    database: sqlite3.Connection, name: str, artifact_root: Path, now_ms: int
) -> sqlite3.Row:
    found = "SELECT * FROM experiments WHERE name = ? ORDER BY lifecycle_stage LIMIT 1"
    row: Optional[sqlite3.Row] = database.execute(found, (name,)).fetchone()
    if row is None:
        number = database.execute(
            "INSERT INTO experiments (name, lifecycle_stage, creation_time, last_update_time)"
            " VALUES (?, 'active', ?, ?)",
            (name, now_ms, now_ms),
        ).lastrowid
        database.execute(
            "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?",
            (str(artifact_root / str(number)), number),
        )
        row = database.execute(found, (name,)).fetchone()
    if row["lifecycle_stage"] != "active":
        raise StoreError(
            f"The MLflow experiment '{name}' (id {row['experiment_id']}) is deleted.",
            f"Restore it (mlflow experiments restore -x {row['experiment_id']}),"
            " or choose another name.",
        )
    return row


def _artifact_dir(experiment: sqlite3.Row, artifact_root: Path, run_id: str) -> Path:
    """Below the experiment's own location, as MLflow does, if that is a folder of this machine.

    The Default experiment that `mlflow ui` makes is at `mlflow-artifacts:/0`, on which a client
    without a server fails: there, the run gets the place that the experiment should have had.
    """
    location = experiment["artifact_location"] or ""
    url = urlsplit(location)
    folder = artifact_root / str(experiment["experiment_id"])
    if url.scheme == "file" and url.netloc in ("", "localhost"):
        folder = Path(unquote(url.path))
    elif location.startswith("/"):
        folder = Path(location)
    return folder / run_id / "artifacts"
