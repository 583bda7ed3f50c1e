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
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Mapping, Optional
from urllib.parse import unquote, urlsplit

from remote.errors import StoreError
from remote.tracking.store import connect_read_only, is_store, refuse_foreign, unusable, writing

MAX_PARAM = 6000  # mlflow.utils.validation.MAX_PARAM_VAL_LENGTH, characters
MAX_TAG = 8000  # mlflow.utils.validation.MAX_TAG_VAL_LENGTH, characters

_STATUS = "SELECT status FROM runs WHERE run_uuid = ?"


@dataclass(frozen=True)
class RecordedRun:
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
    own_tags = {
        "mlflow.user": user,
        "mlflow.source.name": source_name,
        "mlflow.source.type": tags.get("mlflow.source.type", "LOCAL"),
        "mlflow.runName": run_name,
    }
    with writing(store) as database:
        row = _experiment(database, experiment, Path(os.path.abspath(artifact_root)), start_ms)
        artifact_dir = _artifact_dir(row, Path(os.path.abspath(artifact_root)), run_id)
        _insert(
            database,
            "runs",
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
        for key, value in {**tags, **own_tags}.items():
            _insert(database, "tags", run_uuid=run_id, key=key, value=value[:MAX_TAG])
        for key, value in params.items():
            _insert(database, "params", run_uuid=run_id, key=key, value=value[:MAX_PARAM])
    artifact_dir.mkdir(parents=True, exist_ok=True)
    return RecordedRun(run_id, str(row["experiment_id"]), artifact_dir)


def start(store: Path, run_id: str, *, start_ms: int) -> None:
    """Makes a SCHEDULED run RUNNING since `start_ms`."""
    with writing(store) as database:
        found = database.execute(
            "UPDATE runs SET status = 'RUNNING', start_time = ? WHERE run_uuid = ?",
            (start_ms, run_id),
        )
        if found.rowcount == 0:
            raise _no_run(store, run_id)


def end(store: Path, run_id: str, *, status: str, end_ms: int) -> None:
    """`status` is FINISHED, FAILED or KILLED."""
    with writing(store) as database:
        found = database.execute(
            "UPDATE runs SET status = ?, end_time = ? WHERE run_uuid = ?", (status, end_ms, run_id)
        )
        if found.rowcount == 0:
            raise _no_run(store, run_id)


def set_tags(store: Path, run_id: str, tags: Mapping[str, str]) -> None:
    with writing(store) as database:
        if database.execute(_STATUS, (run_id,)).fetchone() is None:
            raise _no_run(store, run_id)
        put_tags(database, run_id, tags)
        if "mlflow.runName" in tags:
            name = tags["mlflow.runName"]
            database.execute("UPDATE runs SET name = ? WHERE run_uuid = ?", (name, run_id))


def run_status(store: Path, run_id: str) -> Optional[str]:
    """RUNNING, FINISHED, FAILED, KILLED or SCHEDULED; None when the store has no such run."""
    rows = read_rows(store, _STATUS, run_id)
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
    for key, value in tags.items():
        database.execute("DELETE FROM tags WHERE run_uuid = ? AND key = ?", (run_id, key))
        _insert(database, "tags", run_uuid=run_id, key=key, value=value[:MAX_TAG])


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
        _insert_experiment(database, name, artifact_root, now_ms)
        row = database.execute(found, (name,)).fetchone()
    if row["lifecycle_stage"] != "active":
        raise StoreError(
            f"The MLflow experiment '{name}' (id {row['experiment_id']}) is deleted.",
            f"Restore it (mlflow experiments restore -x {row['experiment_id']}),"
            " or choose another name.",
        )
    return row


def _insert_experiment(
    database: sqlite3.Connection, name: str, artifact_root: Path, now_ms: int
) -> None:
    cursor = _insert(
        database,
        "experiments",
        name=name,
        lifecycle_stage="active",
        creation_time=now_ms,
        last_update_time=now_ms,
    )
    location = str(artifact_root / str(cursor.lastrowid))
    database.execute(
        "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?",
        (location, cursor.lastrowid),
    )


def _artifact_dir(experiment: sqlite3.Row, artifact_root: Path, run_id: str) -> Path:
    """Below the experiment's own location, as MLflow does, if that is a folder of this machine.

    The Default experiment that `mlflow ui` makes is at `mlflow-artifacts:/0`, on which a client
    without a server fails: there, the run gets the place that the experiment should have had.
    """
    url = urlsplit(experiment["artifact_location"] or "")
    folder = artifact_root / str(experiment["experiment_id"])
    if url.scheme == "file" and url.netloc in ("", "localhost"):
        folder = Path(unquote(url.path))
    elif (experiment["artifact_location"] or "").startswith("/"):
        folder = Path(experiment["artifact_location"])
    return folder / run_id / "artifacts"


def _insert(database: sqlite3.Connection, table: str, **values: object) -> sqlite3.Cursor:
    """Inserts what this schema version has columns for."""
    have = {row["name"] for row in database.execute(f'PRAGMA table_info("{table}")')}
    kept: Dict[str, object] = {name: values[name] for name in values if name in have}
    columns = ", ".join(f'"{name}"' for name in kept)
    marks = ", ".join("?" for _ in kept)
    return database.execute(
        f'INSERT INTO "{table}" ({columns}) VALUES ({marks})', tuple(kept.values())
    )


def _no_run(store: Path, run_id: str) -> StoreError:
    return StoreError(f"{store} has no run {run_id}.")
