"""The runs that a program has left: typed in its folder, and as a job."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: The experiment of jobs whose program chooses none.
OWN = "project"


@dataclass
class Place:
    """A folder with a program's modules and a store, and what the program did in it."""

    root: Path
    code: int = 0
    job: str = ""
    """Only the runs of this job count."""

    @property
    def said(self) -> str:
        return (self.root / "said").read_text()

    def runs(self, name: str = "mlflow.db") -> dict[str, Any]:
        """What is recorded of each run, by its id; without what is another each time.

        Of a value that is logged twice, MLflow keeps one where both fall into one millisecond.
        """
        query = """SELECT r.run_uuid, e.name, r.name, r.status,
          (SELECT json_group_array(key || '=' || value) FROM (SELECT * FROM params p
            WHERE p.run_uuid = r.run_uuid ORDER BY key)),
          (SELECT json_group_array(key || step || '=' || value) FROM (
            SELECT DISTINCT key, step, value FROM metrics m
            WHERE m.run_uuid = r.run_uuid ORDER BY key, step, value)
            WHERE key NOT LIKE '%_runtime' AND key NOT LIKE '%_per_second'
            AND key NOT LIKE 'system/%'),
          (SELECT json_group_array(key || '=' || value) FROM (SELECT * FROM tags t
            WHERE t.run_uuid = r.run_uuid AND key NOT LIKE 'remote.%' ORDER BY key)
            WHERE (key NOT LIKE 'mlflow.%' OR key = 'mlflow.note.content') AND key != 'run_id'),
          r.artifact_uri, r.lifecycle_stage,
          (SELECT p.name FROM tags t JOIN runs p ON p.run_uuid = t.value
            WHERE t.run_uuid = r.run_uuid AND t.key = 'mlflow.parentRunId')
          FROM runs r JOIN experiments e USING (experiment_id)
          WHERE ?1 IN ('', (SELECT value FROM tags t
            WHERE t.run_uuid = r.run_uuid AND t.key = 'remote.job'))"""
        if not (self.root / name).exists():
            return {}
        with closing(sqlite3.connect(self.root / name)) as database:
            return {
                row[0]: self._compared(*row[1:]) for row in database.execute(query, (self.job,))
            }

    def _compared(self, *values: Any) -> tuple[Any, ...]:
        *texts, uri, stage, parent = values
        texts = [str(text or "").replace(str(self.root), ".") for text in texts]
        return (*texts, _files(self.root / uri.removeprefix("file://")), stage, parent)


def _files(folder: Path) -> list[str]:
    """The artifacts of a run, but for what a worker adds."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    names = (path.relative_to(folder).as_posix() for path in paths)
    return sorted(name for name in names if not name.startswith("remote/"))


def differences(
    plain: Place, job: Place, store: str = "mlflow.db", *, own_id: str = "f" * 32
) -> list[str]:
    """What is not equal, but for the job's own run."""
    typed = {row[1]: row for row in plain.runs(store).values()}
    rows = job.runs(store)
    own = rows.get(own_id)
    lines = []
    for run, (experiment, name, *rest, parent) in rows.items():
        expected = typed.pop(name, None)
        if expected is None:
            lines += [] if run == own_id else [f"{name} too many"]
            continue
        below = own and run != own_id and expected[-1] is None
        same_parent = parent == (own[1] if own and below else expected[-1])
        place = "Default" if experiment == OWN else experiment
        if [place, name, *rest] != list(expected[:-1]) or not same_parent:
            lines.append(f"{[place, name, *rest, parent]} != {expected}")
    return lines + [f"{name} is missing" for name in typed]
