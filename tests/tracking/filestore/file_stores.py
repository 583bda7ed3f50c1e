"""File stores as MLflow 1 and 2 laid them out, made by hand, and as MLflow itself makes them."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from remote.tracking import filestore

#: A line of a metric.
POINT = "1700000000000 0.5 1\n"

LONG_AGO = 1_600_000_000
ENVIRONMENT = {"MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}


class FileStore:
    """A hand-made `mlruns`, in the layout of MLflow 2."""

    def __init__(self, project: Path) -> None:
        self.project, self.root = project, project / "mlruns"
        self.root.mkdir(parents=True)

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def experiment(self, experiment: int = 0, name: str = "Default", **more: object) -> None:
        values = {
            "artifact_location": (self.root / str(experiment)).as_uri(),
            "creation_time": 1_700_000_000_000 + experiment,
            "experiment_id": f"'{experiment}'",
            "last_update_time": 1_700_000_000_000,
            "lifecycle_stage": "active",
            "name": name,
            **more,
        }
        self.meta(str(experiment), values)

    def run(self, number: int, experiment: int = 0, **more: object) -> str:
        run = f"{number:032x}"
        values = {
            "artifact_uri": (self.root / str(experiment) / run / "artifacts").as_uri(),
            "end_time": 1_700_000_009_000,
            "entry_point_name": "''",
            "experiment_id": f"'{experiment}'",
            "lifecycle_stage": "active",
            "run_id": f"'{run}'" if run.isdigit() else run,
            "run_name": "sunny-day-1",
            "run_uuid": f"'{run}'" if run.isdigit() else run,
            "source_name": "''",
            "source_type": 4,
            "source_version": "''",
            "start_time": 1_700_000_001_000,
            "status": 3,
            "tags": "[]",
            "user_id": "ada",
            **more,
        }
        self.meta(f"{experiment}/{run}", values)
        return run

    def meta(self, folder: str, values: dict[str, object]) -> None:
        texts = {key: str(value) for key, value in values.items() if value is not ...}
        # A list begins on the next line.
        lines = (f"{k}:{'' if v.startswith(chr(10)) else ' '}{v}\n" for k, v in texts.items())
        self.write(f"{folder}/meta.yaml", "".join(lines))

    def age(self) -> None:
        """As if all had been written long ago: nothing is too new to be trusted."""
        for top, _, names in os.walk(self.root):
            for name in names:
                path = Path(top, name)
                if not path.is_symlink():
                    stat = os.stat(path)
                    if stat.st_mtime > LONG_AGO + 10_000:
                        os.utime(path, ns=(0, LONG_AGO * 10**9 + stat.st_mtime_ns % 10**12))


class Delta:
    """A delta file, and what the merge would remember of it."""

    def __init__(self, source: FileStore | Path, known: dict | None = None, **options) -> None:
        root = source if isinstance(source, Path) else source.root
        self.file = root.parent / "delta.db"
        self.known = known or {}
        filestore.write(root, self.file, self.known, **options)

    def rows(self, table: str, columns: str = "*") -> list[tuple]:
        with closing(sqlite3.connect(self.file)) as database:
            return sorted(database.execute(f'SELECT {columns} FROM "{table}"'), key=repr)

    def meta(self, key: str):
        return {name: json.loads(value) for name, value in self.rows("meta")}[key]

    @property
    def points(self) -> int:
        return len(self.rows("metrics"))

    @property
    def left_out(self) -> list[str]:
        return self.meta("left_out")

    def ids(self, kind: str) -> list[str]:
        return [str(identity) for each, identity, _ in self.rows("entities") if each == kind]

    def gone(self) -> list[tuple]:
        return self.rows("gone")

    def after(self, *, finished: bool = True) -> dict:
        """What `merge.known` says then; not `finished`: the merge was stopped near its end."""
        signatures = json.loads(json.dumps(self.known.get("signatures", {})))
        for kind, identity in self.rows("gone"):
            signatures[kind].pop(str(identity))
        for kind, identity, signature in self.rows("entities"):
            signatures.setdefault(kind, {})[str(identity)] = signature
        marks = self.meta("watermarks") if finished else self.known.get("watermarks", {})
        return {
            "format": self.meta("format"),
            "token": "t",
            "watermarks": marks,
            "signatures": signatures,
        }


def big_store(project: Path, *, runs: int, metrics: int, points: int) -> FileStore:
    store = FileStore(project)
    store.experiment()
    for number in range(runs):
        run = store.run(number)
        for name in ("lr", "epochs", "optimizer", "seed"):
            store.write(f"0/{run}/params/{name}", "0.1")
        for name in ("mlflow.runName", "mlflow.user", "mlflow.source.name", "team"):
            store.write(f"0/{run}/tags/{name}", "ada")
        for metric in range(metrics):
            lines = (
                f"{1_700_000_000_000 + step * 250} {1 / (step + number + 1)!r} {step}\n"
                for step in range(points)
            )
            store.write(f"0/{run}/metrics/metric_{metric}", "".join(lines))
    return store


def migrated(store: Path, out: Path) -> Path:
    """What `mlflow migrate-filestore` makes of the store."""
    subprocess.run(
        [
            str(Path(sys.executable).with_name("mlflow")),
            "migrate-filestore",
            f"--source={store}",
            f"--target=sqlite:///{out}",
            "--no-progress",
        ],
        env={**os.environ, **ENVIRONMENT},
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=120,
    )
    return out


def real_store(project: Path) -> Path:
    """A file store with one of everything, written by MLflow; some of which isn't read."""
    project.mkdir(parents=True)
    maker = Path(__file__).with_name("real_file_stores.py")
    subprocess.run(
        [sys.executable, str(maker), str(project / "mlruns")],
        env={**os.environ, **ENVIRONMENT},
        cwd=project,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        timeout=120,
    )
    return project / "mlruns"
