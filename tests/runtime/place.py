"""A job's place as the worker leaves it: folders, links, a store with the job's run, an agent."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remote.agent.tracking import run_rows
from remote.agent_main import unpacked
from remote.job.paths import JobPaths
from remote.job.spec import Job, read_job
from remote.rpc import client
from tests.conftest import ROOT
from tests.stores import empty_store


@dataclass
class Place:
    """One target with one project. `job` adds a job to it, which `start` and `run` run."""

    root: Path
    zip: Path
    count: int = 0
    gpus: str = ""
    python: str = sys.executable

    @property
    def store(self) -> Path:
        return self.root / "mlflow.db"

    def write(self, name: str, text: str) -> None:
        path = self.root / "pushed" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")

    def job(self, source: str, *arguments: str, **more: Any) -> JobPaths:
        """A job of a Hydra script, unless `more` says otherwise."""
        self.count += 1
        paths = JobPaths(self.root, f"20260101-09000{self.count}-train-aaaa")
        paths.code.mkdir(parents=True)
        self._fill(paths.code)
        facts: dict[str, Any] = {
            "kind": "script",
            "source": source,
            "arguments": arguments,
            "hydra": True,
            "name": "train",
            "user": "ada",
            **more,
        }
        job = Job(id=paths.id, mlflow_run=f"f{self.count}", **facts)
        job.to_file(paths.job)
        run_rows.begin(
            self.store,
            experiment="digits",
            run_id=job.mlflow_run,
            tags={"mlflow.runName": job.name, "mlflow.user": "ada", "remote.job": paths.id},
            params={name: str(value) for name, value in job.all_parameters.items()},
            start_ms=1000 * self.count,
        )
        return paths

    def _fill(self, code: Path) -> None:
        for path in (self.root / "pushed").glob("**/*"):
            if path.is_file():
                copy = code / path.relative_to(self.root / "pushed")
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(path.read_bytes())
                copy.chmod(path.stat().st_mode)
        for name in ("logs", "outputs", "multirun"):
            (self.root / name).mkdir(exist_ok=True)
            (code / name).symlink_to(self.root / name)

    def environment(self, paths: JobPaths) -> dict[str, str]:
        job = read_job(paths.folder)
        agent = Path(unpacked(str(self.zip)))
        folders = [paths.code / "src", paths.code, agent]
        path = f"{Path(self.python).parent}{os.pathsep}{os.environ['PATH']}"
        return {
            **os.environ,
            "PATH": path,
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.store}",
            "_MLFLOW_SERVER_ARTIFACT_ROOT": str(self.root / "mlruns"),
            "REMOTE_JOB_EXPERIMENT": "digits",
            "REMOTE_JOB_STORE": str(self.store),
            "REMOTE_JOB_RUN": job.mlflow_run,
            "REMOTE_JOB_ID": paths.id,
            "REMOTE_JOB_TAGS": json.dumps({"remote.job": paths.id}),
            "PYTHONPATH": str(agent / "remote/runtime/site"),
            "REMOTE_IMPORT_PATH": os.pathsep.join(map(str, folders)),
            "PYTHONUNBUFFERED": "1",
            "CUDA_VISIBLE_DEVICES": self.gpus,
        }

    def start(self, paths: JobPaths, **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.python, str(self.zip), "program", str(paths.folder)],
            cwd=paths.code,
            env={**self.environment(paths), **more},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, paths: JobPaths, *, code: int = 0, **more: str) -> str:
        """What the job said; its exit code must be `code`."""
        process = self.start(paths, **more)
        said, _ = process.communicate(timeout=200)
        assert process.returncode == code, said
        return said

    def sql(self, query: str, *values: Any, file: str = "mlflow.db") -> list[Any]:
        with closing(sqlite3.connect(self.root / file, timeout=60)) as database, database:
            return database.execute(query, values).fetchall()

    def values(self, table: str, run: str) -> dict[str, Any]:
        """The parameters, tags or latest metrics of a run."""
        query = f"SELECT key, value FROM {table} WHERE run_uuid = ?"
        return dict(self.sql(query, run))

    def children(self, parent: str = "") -> list[str]:
        """The runs below a job's run, or below any; the oldest first."""
        query = (
            "SELECT r.run_uuid FROM runs r JOIN tags t ON t.run_uuid = r.run_uuid"
            " WHERE t.key = 'mlflow.parentRunId' AND (t.value = ? OR ? = '')"
            " ORDER BY r.start_time, r.rowid"
        )
        return [row[0] for row in self.sql(query, parent, parent)]

    def statuses(self) -> dict[str, str]:
        return dict(self.sql("SELECT run_uuid, status FROM runs"))


def make(folder: Path, template: Path) -> Place:
    root = folder / 'it\'s my 100% "target" é'
    root.mkdir()
    (root / "mlflow.db").write_bytes(template.read_bytes())
    packed = folder / "agent.zip"
    packed.write_bytes(client.packed(client.contents()))
    return Place(root, packed)


def template(folder: Path) -> Path:
    """An empty store that the real MLflow made, once for the session."""
    return empty_store(folder)


__all__ = ["Place", "ROOT", "make", "template"]
