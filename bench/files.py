"""A store's records as MLflow 2 would have written them: `python -m bench.files STORE MLRUNS`."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path

import yaml

FINISHED, LOCAL = 3, 4  # RunStatus, SourceType


def write_files(store: Path, mlruns: Path) -> None:
    """Only finished runs, with what bench.stores gives them."""
    with closing(sqlite3.connect(store)) as database:
        database.row_factory = sqlite3.Row
        for experiment in database.execute("SELECT * FROM experiments"):
            folder = mlruns / str(experiment["experiment_id"])
            _write_experiment(folder, experiment)
            query = "SELECT * FROM runs WHERE experiment_id = ?"
            for run in database.execute(query, (experiment["experiment_id"],)):
                _write_run(database, folder / run["run_uuid"], run)


def _write_experiment(folder: Path, row: sqlite3.Row) -> None:
    folder.mkdir(parents=True)
    meta = {
        "artifact_location": folder.as_uri(),
        "creation_time": row["creation_time"],
        "experiment_id": str(row["experiment_id"]),
        "last_update_time": row["last_update_time"],
        "lifecycle_stage": row["lifecycle_stage"],
        "name": row["name"],
    }
    _write_yaml(folder / "meta.yaml", meta)


def _write_run(database: sqlite3.Connection, folder: Path, row: sqlite3.Row) -> None:
    for name in ("artifacts", "metrics", "params", "tags"):
        (folder / name).mkdir(parents=True)
    meta = {
        "artifact_uri": (folder / "artifacts").as_uri(),
        "end_time": row["end_time"],
        "entry_point_name": row["entry_point_name"],
        "experiment_id": str(row["experiment_id"]),
        "lifecycle_stage": row["lifecycle_stage"],
        "run_id": row["run_uuid"],
        "run_name": row["name"],
        "run_uuid": row["run_uuid"],
        "source_name": row["source_name"],
        "source_type": LOCAL,
        "source_version": row["source_version"],
        "start_time": row["start_time"],
        "status": FINISHED,
        "tags": [],
        "user_id": row["user_id"],
    }
    _write_yaml(folder / "meta.yaml", meta)
    run = (row["run_uuid"],)
    for table in ("params", "tags"):
        query = f"SELECT key, value FROM {table} WHERE run_uuid = ?"
        for key, value in database.execute(query, run):
            (folder / table / key).write_text(value)
    points = database.execute(
        "SELECT key, timestamp, value, step FROM metrics WHERE run_uuid = ? ORDER BY rowid", run
    )
    _write_metrics(folder / "metrics", points)


def _write_metrics(folder: Path, points: Iterable[sqlite3.Row]) -> None:
    lines: dict[str, list[str]] = {}
    for key, timestamp, value, step in points:
        lines.setdefault(key, []).append(f"{timestamp} {value} {step}\n")
    for key, found in lines.items():
        (folder / key).write_text("".join(found))


def _write_yaml(file: Path, meta: Mapping[str, object]) -> None:
    file.write_text(yaml.safe_dump(dict(meta), default_flow_style=False, allow_unicode=True))


if __name__ == "__main__":
    write_files(Path(sys.argv[1]), Path(sys.argv[2]))
