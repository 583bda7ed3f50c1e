"""The diary of a project: an entry for each day, with the runs that MLflow has had since the last."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from remote.errors import ConfigError, StoreError
from remote.tracking.store import connect_read_only

TEMPLATE = "template.md"

#: Where a project has no template of its own.
PLAIN = "# {date}\n\n{runs}\n"

#: How many runs an entry lists, the newest; and how many metrics of each.
RUNS, METRICS = 50, 3

_BEGUN = (
    "SELECT runs.run_uuid, runs.name, experiments.name, status, start_time,"
    " (SELECT COUNT(*) FROM tags AS below WHERE below.key = 'mlflow.parentRunId'"
    "  AND below.value = runs.run_uuid)"
    " FROM runs JOIN experiments USING (experiment_id)"
    " WHERE start_time >= ? AND runs.lifecycle_stage = 'active' AND NOT EXISTS"
    " (SELECT 1 FROM tags WHERE tags.run_uuid = runs.run_uuid AND key = 'mlflow.parentRunId')"
    " ORDER BY start_time DESC LIMIT ?"
)
_VALUES = (
    "SELECT key, value FROM latest_metrics WHERE run_uuid = ? AND key NOT LIKE 'system/%'"
    " AND NOT is_nan ORDER BY key LIMIT ?"
)


@dataclass(frozen=True)
class Run:
    """A run, and how many are below it."""

    name: str
    experiment: str
    status: str
    begun: datetime
    below: int
    metrics: tuple[tuple[str, float], ...]


def entry(root: Path, day: date) -> Path:
    """The page of that day, made from the template where it is missing.

    A page that exists is never touched. Raises ConfigError or StoreError.
    """
    folder = root / "diary"
    path = folder / f"{day.isoformat()}.md"
    if path.exists():
        return path
    since = _last(folder, day) or day
    text = _template(folder).replace("{date}", day.isoformat())
    text = text.replace("{runs}", _listed(begun(root / "mlflow.db", since), since))
    folder.mkdir(exist_ok=True)
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        # Another `inv diary` was faster: its entry is as good.
        pass
    return path


def _last(folder: Path, day: date) -> date | None:
    """The day of the newest entry before `day`."""
    days = (_day(path.stem) for path in folder.glob("????-??-??.md"))
    return max((entry for entry in days if entry and entry < day), default=None)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _template(folder: Path) -> str:
    try:
        return (folder / TEMPLATE).read_text("utf-8")
    except FileNotFoundError:
        return PLAIN
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{folder / TEMPLATE} can't be read: {error}.", "It has to be plain UTF-8 text."
        ) from error


def begun(store: Path, since: date) -> list[Run]:
    """The runs that began on that day or later and are below no other, the newest first.

    One more than are listed at most. Raises StoreError where the store can't be read.
    """
    if not store.is_file():
        return []
    start = datetime.combine(since, datetime.min.time()).timestamp() * 1000
    try:
        with closing(connect_read_only(store)) as database:
            rows = database.execute(_BEGUN, (start, RUNS + 1)).fetchall()
            return [_run(database, row) for row in rows]
    except sqlite3.Error as error:
        raise StoreError(
            f"{store.name} can't be read: {error}.", "inv mlflow-check looks it through."
        ) from error


def _run(database: sqlite3.Connection, row: Any) -> Run:
    metrics = tuple(database.execute(_VALUES, (row[0], METRICS)))
    name, experiment, status = (str(value or "") for value in row[1:4])
    return Run(name, experiment, status, datetime.fromtimestamp(row[4] / 1000), row[5], metrics)


def _listed(runs: list[Run], since: date) -> str:
    """A table in Markdown."""
    if not runs:
        return f"No run began since {since.isoformat()}."
    lines = ["| begun | run | experiment | status | metrics |", "| --- | --- | --- | --- | --- |"]
    lines += [_line(run) for run in reversed(runs[:RUNS])]
    if len(runs) > RUNS:
        lines += ["", f"More runs began since {since.isoformat()}."]
    return "\n".join(lines)


def _line(run: Run) -> str:
    values = [f"{name} {value:.4g}" for name, value in run.metrics]
    values += [f"{run.below} below it"] if run.below else []
    begun = run.begun.strftime("%m-%d %H:%M")
    cells = (begun, run.name, run.experiment, run.status, ", ".join(values))
    return f"| {' | '.join(' '.join(cell.split()).replace('|', '/') for cell in cells)} |"
