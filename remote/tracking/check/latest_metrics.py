"""`latest_metrics` against the history in `metrics`.

MLflow shows the point with the greatest (step, timestamp, value) of each metric. Where the history
goes on, the row is made from it; where the row is ahead (a merge was stopped, a history was cut), its
point is put into the history: it may be the only trace of a value that was logged.
"""

from __future__ import annotations

import sqlite3
from typing import Iterator

from remote.output import plural
from remote.tracking.check.finding import Change, Finding
from remote.tracking.check.orphans import STEP
from remote.tracking.check.project_dir import Place
from remote.tracking.check.table_info import columns

NAME = "metrics"
_ORDER = ("step", "timestamp", "value")
_COLUMNS = ("key", "value", "timestamp", "step", "is_nan", "run_uuid")
_NAMES = ", ".join(_COLUMNS)
_BEHIND = (
    "SELECT DISTINCT m.run_uuid, m.key FROM metrics m JOIN runs r ON r.run_uuid = m.run_uuid"
    " LEFT JOIN latest_metrics l ON l.key = m.key AND l.run_uuid = m.run_uuid"
    " WHERE m.rowid > ? AND m.rowid <= ? AND (l.key IS NULL OR"
    " (m.step, m.timestamp, m.value) > (l.step, l.timestamp, l.value))"
)
_AHEAD = (
    "SELECT l.run_uuid, l.key FROM latest_metrics l JOIN runs r ON r.run_uuid = l.run_uuid"
    " WHERE NOT EXISTS (SELECT 1 FROM metrics m WHERE m.key = l.key AND m.run_uuid = l.run_uuid"
    " AND m.timestamp = l.timestamp AND m.step = l.step AND m.value = l.value)"
)
_TAKE_NEWEST = (
    f"INSERT OR REPLACE INTO latest_metrics ({_NAMES}) SELECT {_NAMES} FROM metrics"
    f" WHERE run_uuid = ? AND key = ? ORDER BY {', '.join(f'{name} DESC' for name in _ORDER)}"
    " LIMIT 1"
)
_KEEP_POINT = (
    f"INSERT OR IGNORE INTO metrics ({_NAMES}) SELECT {_NAMES} FROM latest_metrics"
    " WHERE run_uuid = ? AND key = ?"
)


def find(database: sqlite3.Connection, place: Place) -> list[Finding]:
    """At most two: rows behind their history, rows ahead of it."""
    if not set(_COLUMNS) <= set(columns(database, "latest_metrics")):
        return []
    # In this order: a point that is in the history can be replaced.
    found = (
        _finding(list(database.execute(_AHEAD)), "the history lacks the latest value", _KEEP_POINT),
        _finding(sorted(set(_behind(database))), "the latest value is out of date", _TAKE_NEWEST),
    )
    return [finding for finding in found if finding.items]


def _behind(database: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    last = database.execute("SELECT max(rowid) FROM metrics").fetchone()[0] or 0
    for start in range(0, last, STEP):
        yield from database.execute(_BEHIND, (start, start + STEP))


def _finding(pairs: list[tuple[str, str]], wrong: str, query: str) -> Finding:
    items = tuple(f"{key} of run {run}" for run, key in pairs)
    changes = tuple(Change(query, pair) for pair in pairs)
    return Finding(NAME, f"{plural(len(pairs), 'metric')}: {wrong}", items, changes=changes)
