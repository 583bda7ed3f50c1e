"""The diary of a project: an entry for each day, with the runs that MLflow has had since the last."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

from remote.errors import ConfigError, StoreError
from remote.output import printable
from remote.tracking.store import connect_read_only

TEMPLATE = "template.md"

#: Where a project has no template of its own.
PLAIN = "# {date}\n\n{runs}\n"

#: How many runs an entry lists, the newest; and how many metrics of each.
RUNS, METRICS = 50, 3

#: Letters of a cell that are shown.
LONGEST = 500

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
    text = text.replace("{runs}", _runs(root / "mlflow.db", since))
    folder.mkdir(exist_ok=True)
    # Where another `inv diary` was faster, its entry is as good.
    with contextlib.suppress(FileExistsError), open(path, "x", encoding="utf-8") as file:
        file.write(text)
    return path


def _last(folder: Path, day: date) -> date | None:
    """The day of the newest entry before `day`."""
    days = []
    for path in folder.glob("????-??-??.md"):
        with contextlib.suppress(ValueError):
            days.append(date.fromisoformat(path.stem))
    return max((entry for entry in days if entry < day), default=None)


def _template(folder: Path) -> str:
    try:
        return (folder / TEMPLATE).read_text("utf-8")
    except FileNotFoundError:
        return PLAIN
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{folder / TEMPLATE} can't be read: {error}.", "It has to be plain UTF-8 text."
        ) from error


def _runs(store: Path, since: date) -> str:
    """A table in Markdown of the runs that began on that day or later and are below no other.

    Raises StoreError where the store can't be read.
    """
    rows = []
    if store.is_file():
        start = datetime.combine(since, datetime.min.time()).timestamp() * 1000
        try:
            with contextlib.closing(connect_read_only(store)) as database:
                rows = [
                    _line(row, database.execute(_VALUES, (row[0], METRICS)))
                    for row in database.execute(_BEGUN, (start, RUNS + 1)).fetchall()
                ]
        except sqlite3.Error as error:
            raise StoreError(
                f"{store.name} can't be read: {error}.", "Check it: inv mlflow-check"
            ) from error
    if not rows:
        return f"No run began since {since.isoformat()}."
    lines = ["| begun | run | experiment | status | metrics |", "| --- | --- | --- | --- | --- |"]
    lines += reversed(rows[:RUNS])
    if len(rows) > RUNS:
        lines += ["", f"More runs began since {since.isoformat()}."]
    return "\n".join(lines)


def _line(row: Sequence[Any], metrics: Iterable[tuple[str, float]]) -> str:
    """A run's line of the table; `row` is one of _BEGUN."""
    _, name, experiment, status, start, below = row
    values = [f"{key} {value:.4g}" for key, value in metrics]
    values += [f"{below} below it"] if below else []
    begun = ""
    # A server may say that its run begins in a year that no calendar has.
    with contextlib.suppress(ValueError, OverflowError, OSError):
        begun = datetime.fromtimestamp(start / 1000).strftime("%m-%d %H:%M")
    cells = (begun, name or "", experiment or "", status or "", ", ".join(values))
    return f"| {' | '.join(_cell(str(cell)) for cell in cells)} |"


def _cell(text: str) -> str:
    """A name in a table of Markdown, which a server may have given: no tag, link or image of it."""
    plain = printable(" ".join(text.split())[:LONGEST]).replace("|", "/")
    return re.sub(r"([\\`<\[])", r"\\\1", plain)
