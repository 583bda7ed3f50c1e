"""MLflow runs by plain SQL: a job's own, those below it, and those of a sweep's trials.

Importing mlflow costs seconds and needs the project's environment; a job whose environment can't
even be built must still leave a record. The rows are those that `MlflowClient.create_run`,
`log_param` and `set_terminated` write (compared row for row in the tests, MLflow 2.16 and 3.17).
A trial's run says in `remote.trial` how far it is: running, ended, or interrupted, which the next
job on the same study takes up again. Everything here raises StoreError.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence
from urllib.parse import unquote, urlsplit

from remote.errors import StoreError
from remote.job.paths import ARTIFACTS, jobs_folder
from remote.tracking.store import columns_of, connect_read_only, is_present, usable, writing

MAX_PARAM = 6000  # mlflow.utils.validation.MAX_PARAM_VAL_LENGTH, characters
MAX_TAG = 8000  # mlflow.utils.validation.MAX_TAG_VAL_LENGTH, characters

RUNNING, ENDED, INTERRUPTED = "running", "ended", "interrupted"

PARENT = "mlflow.parentRunId"
OVERRIDES = "remote.overrides"
STUDY = "remote.study"
TRIAL = "remote.trial"


class RecordedRun(NamedTuple):
    run_id: str
    experiment_id: str
    artifact_dir: Path


class TrialRun(NamedTuple):
    """A trial's MLflow run: its id, what Hydra was told for it, whether it was deleted, its status."""

    run_id: str
    overrides: Sequence[str]
    deleted: bool = False
    status: str = ""


def begin(
    store: Path,
    *,
    experiment: str,
    run_id: str,
    tags: Mapping[str, str],
    params: Mapping[str, str] = {},
    start_ms: int,
    status: str = "RUNNING",
    restore: str = "",
) -> RecordedRun:
    """Inserts a run (RUNNING or SCHEDULED), and its experiment where no active one has that name.

    The tags `mlflow.runName` and `mlflow.user` are needed: they are in the run's own row too.
    Raises StoreError when a deleted experiment has the name (MLflow refuses it too); `restore` is
    what stands before the command that restores it.
    """
    root = _target_of(store) / ARTIFACTS
    with writing(store) as database:
        row = _experiment(database, experiment, root, start_ms, restore)
        artifact_dir = _artifact_dir(row, root, run_id)
        values: Dict[str, object] = dict(
            run_uuid=run_id,
            name=tags["mlflow.runName"],
            source_type="UNKNOWN",
            source_name="",
            entry_point_name="",
            user_id=tags["mlflow.user"],
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
        _put(database, run_id, {"mlflow.source.type": "LOCAL", **tags}, params)
    artifact_dir.mkdir(parents=True, exist_ok=True)
    return RecordedRun(run_id, str(row["experiment_id"]), artifact_dir)


def _target_of(store: Path) -> Path:
    """The folder of the target that a store is of: its own, or that of one of its jobs."""
    folder = Path(os.path.abspath(str(store.parent)))
    is_of_job = folder.parent == jobs_folder(folder.parents[2]) if folder.parts[3:] else False
    return folder.parents[2] if is_of_job else folder


def update(
    store: Path,
    run_id: str,
    tags: Mapping[str, str] = {},
    params: Mapping[str, str] = {},
    **values: object,
) -> None:
    """Give a run these tags, the parameters that it doesn't have yet, and its row these values."""
    with writing(store) as database:
        if not database.execute("SELECT 1 FROM runs WHERE run_uuid = ?", (run_id,)).fetchone():
            raise StoreError(f"{store} has no run {run_id}.")
        for column, value in values.items():
            database.execute(f"UPDATE runs SET {column} = ? WHERE run_uuid = ?", (value, run_id))
        _put(database, run_id, tags, params)


def _put(
    database: sqlite3.Connection, run_id: str, tags: Mapping[str, str], params: Mapping[str, str]
) -> None:
    """Tags take the place of those of the same names; parameters never change."""
    database.executemany(
        "INSERT OR REPLACE INTO tags (run_uuid, key, value) VALUES (?, ?, ?)",
        [(run_id, key, value[:MAX_TAG]) for key, value in tags.items()],
    )
    database.executemany(
        "INSERT OR IGNORE INTO params (run_uuid, key, value) VALUES (?, ?, ?)",
        [(run_id, key, value[:MAX_PARAM]) for key, value in params.items()],
    )


def run_status(store: Path, run_id: str) -> Optional[str]:
    """RUNNING, FINISHED, FAILED, KILLED or SCHEDULED; None when the store has no such run."""
    return _value(store, run_id, "r.status")


def end_time(store: Path, run_id: str) -> Optional[int]:
    """When a run ended, in ms; None for one that goes on."""
    value = _value(store, run_id, "r.end_time")
    return int(value) if value and value.isdigit() else None


def experiment_of(store: Path, run_id: str) -> Optional[str]:
    """The name of the experiment that a run belongs to; None where there is no such run."""
    return _value(store, run_id, "e.name")


def artifact_dir(store: Path, run_id: str) -> Optional[Path]:
    """Where the artifacts of a run that `begin` made lie; None without store or run."""
    uri = _value(store, run_id, "r.artifact_uri") if is_present(store) else None
    return Path(uri) if uri else None


def _value(store: Path, run_id: str, column: str) -> Optional[str]:
    query = f"SELECT {column} FROM runs r JOIN experiments e USING (experiment_id)"
    rows = _read(store, f"{query} WHERE run_uuid = ?", run_id)
    return str(rows[0][0]) if rows else None


def _read(store: Path, query: str, *values: str) -> List[sqlite3.Row]:
    with usable(store), closing(connect_read_only(store)) as database:
        database.row_factory = sqlite3.Row
        return database.execute(query, values).fetchall()


def _experiment(
    database: sqlite3.Connection, name: str, artifact_root: Path, now_ms: int, restore: str
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
            f"Restore it: {restore}mlflow experiments restore -x {row['experiment_id']}\n"
            "Or choose another name: MLFLOW_EXPERIMENT_NAME=NAME in .env",
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


def add_metric(store: Path, run_id: str, key: str, value: float, now_ms: int) -> None:
    """Log one value of a metric, at step 0, unless the run has that metric already."""
    nan = value != value
    # MLflow stores infinity as the greatest number that its column takes.
    finite = max(min(float(value), sys.float_info.max), -sys.float_info.max)
    row = (run_id, key, 0.0 if nan else finite, now_ms, 0, nan)
    with writing(store) as database:
        for table in ("metrics", "latest_metrics"):
            database.execute(
                f"INSERT OR IGNORE INTO {table} (run_uuid, key, value, timestamp, step, is_nan)"
                f" SELECT ?, ?, ?, ?, ?, ? WHERE NOT EXISTS"
                f" (SELECT 1 FROM {table} WHERE run_uuid = ? AND key = ?)",
                (*row, run_id, key),
            )


class Point(NamedTuple):
    """One value of a metric, which is finite; `timestamp` in ms."""

    key: str
    value: float
    timestamp: int
    step: int


def add_points(store: Path, run_id: str, points: Sequence[Point], *, newest: Optional[int]) -> bool:
    """Log points of system metrics, in their order, each newer than all before.

    `newest` is the time of the last one that was logged so; where the run has another one, somebody
    else logs them too, and nothing is added: False.
    """
    latest = "SELECT MAX(timestamp) FROM latest_metrics WHERE run_uuid = ? AND key LIKE 'system/%'"
    with writing(store) as database:
        if database.execute(latest, (run_id,)).fetchone()[0] != newest:
            return False
        for verb, table in (("IGNORE", "metrics"), ("REPLACE", "latest_metrics")):
            database.executemany(
                f"INSERT OR {verb} INTO {table} (key, value, timestamp, step, run_uuid, is_nan)"
                " VALUES (?, ?, ?, ?, ?, 0)",
                [(*point, run_id) for point in points],
            )
    return True


_CLOSE = (
    "UPDATE runs SET status = ?, end_time = ? WHERE status IN ('RUNNING', 'SCHEDULED')"
    " AND run_uuid IN"
)


def close(store: Path, run_id: str, *, status: str, end_ms: int) -> None:
    """End a run that is still RUNNING; `status` is FINISHED, FAILED or KILLED."""
    with writing(store) as database:
        database.execute(f"{_CLOSE} (?)", (status, end_ms, run_id))


def join_experiment(store: Path, run_id: str, other: str) -> None:
    """Move a run of which no child is in its experiment to that of one, so that a UI shows them
    together; its artifacts stay where they are."""
    children = f"SELECT run_uuid FROM tags WHERE key = '{PARENT}' AND value = ? AND run_uuid != ?"
    with writing(store) as database:
        database.execute(
            "UPDATE runs SET experiment_id = (SELECT experiment_id FROM runs WHERE run_uuid = ?)"
            " WHERE run_uuid = ? AND experiment_id NOT IN"
            f" (SELECT experiment_id FROM runs WHERE run_uuid IN ({children}))",
            (other, run_id, run_id, other),
        )


def close_all(store: Path, *, job: str, run_id: str, status: str, end_ms: int) -> None:
    """End all that a job left RUNNING: its own run, those below it, those with its tag, and those
    of before that it went on with."""
    tree = (
        "WITH RECURSIVE tree (id) AS (SELECT ? UNION"
        " SELECT run_uuid FROM tags WHERE key IN ('remote.job', 'remote.resumed_by')"
        " AND value = ? UNION"
        f" SELECT t.run_uuid FROM tags t JOIN tree ON t.key = '{PARENT}' AND t.value = tree.id)"
        " SELECT id FROM tree"
    )
    with writing(store) as database:
        database.execute(f"{_CLOSE} ({tree})", (status, end_ms, run_id, job))


_TRIALS = (
    "SELECT r.run_uuid, r.lifecycle_stage, o.value AS overrides, t.value AS trial, r.status"
    " FROM runs r"
    f" JOIN tags s ON s.run_uuid = r.run_uuid AND s.key = '{STUDY}' AND s.value = ?"
    f" JOIN tags o ON o.run_uuid = r.run_uuid AND o.key = '{OVERRIDES}'"
    f" LEFT JOIN tags t ON t.run_uuid = r.run_uuid AND t.key = '{TRIAL}'"
    " ORDER BY r.start_time, r.rowid"
)


def trials(store: Path, study: str) -> List[TrialRun]:
    """The runs of a study's trials, the oldest first."""
    return [
        TrialRun(run, _listed(overrides), stage != "active", status)
        for run, stage, overrides, _, status in _read(store, _TRIALS, study)
    ]


def spelled(overrides: Sequence[str]) -> str:
    """The tag that holds a trial's overrides."""
    return json.dumps(list(overrides), ensure_ascii=False)


def _listed(text: str) -> Sequence[str]:
    try:
        return tuple(map(str, json.loads(text)))
    except (ValueError, TypeError):
        # Cut off at the length that MLflow gives a tag.
        return ()


def take_up(
    store: Path, *, study: str, overrides: Sequence[str], tags: Mapping[str, str]
) -> Optional[str]:
    """Let an interrupted trial's run go on, with the tags of the job that goes on with it."""
    wanted = ("active", spelled(overrides)[:MAX_TAG], INTERRUPTED)
    resumed = "UPDATE runs SET status = 'RUNNING', end_time = NULL WHERE run_uuid = ?"
    with writing(store) as database:
        for run_id, *found, _ in database.execute(_TRIALS, (study,)).fetchall():
            if tuple(found) == wanted:
                database.execute(resumed, (run_id,))
                _put(database, run_id, tags, {})
                return str(run_id)
    return None
