"""The delta file while it is written: rows, what is new, what is gone, what was left out."""

from __future__ import annotations

import json
import sqlite3
from functools import lru_cache
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Sequence, Set, Tuple

from remote.tracking import schema
from remote.tracking.filestore.metric_history import Points

COLUMNS: Dict[str, Tuple[str, ...]] = {
    table: tuple(names.split())
    for table, names in {
        "experiments": (
            "experiment_id name artifact_location lifecycle_stage creation_time" " last_update_time"
        ),
        "experiment_tags": "key value experiment_id",
        "runs": (
            "run_uuid name source_type source_name entry_point_name user_id status start_time"
            " end_time source_version lifecycle_stage artifact_uri experiment_id deleted_time"
        ),
        "params": "key value run_uuid",
        "tags": "key value run_uuid",
        "metrics": "key value timestamp run_uuid step is_nan",
        "latest_metrics": "key value timestamp run_uuid step is_nan",
        "datasets": (
            "dataset_uuid experiment_id name digest dataset_source_type dataset_source"
            " dataset_schema dataset_profile"
        ),
        "inputs": "input_uuid source_type source_id destination_type destination_id step",
        "input_tags": "input_uuid name value",
        "logged_models": (
            "model_id experiment_id name artifact_location creation_timestamp_ms"
            " last_updated_timestamp_ms status lifecycle_stage model_type source_run_id"
            " status_message"
        ),
        "logged_model_params": "param_key param_value model_id experiment_id",
        "logged_model_tags": "tag_key tag_value model_id experiment_id",
        "logged_model_metrics": (
            "model_id metric_name metric_timestamp_ms metric_step metric_value experiment_id"
            " run_id dataset_name dataset_digest"
        ),
    }.items()
}
"""The columns that a file store has values for; the rest stays as the database has it."""
NOTES = 200
"""What is named one by one as left out; the rest is counted."""
POINTS = 100
"""Of one statement. SQLite before 3.32 takes 999 values (https://www.sqlite.org/limits.html)."""
_MARK = "metrics"
_GUARD = "file store"
"""In place of a row's hash: no watermark of a database is taken for one of a file store."""


@lru_cache(maxsize=POINTS)
def _insert_points(count: int) -> str:
    """Of one metric and run: ?1 is the key, ?2 the run."""
    shared = {"key": "?1", "run_uuid": "?2"}
    rows = []
    for first in range(3, 3 + count * 4, 4):
        own = zip(("value", "timestamp", "step", "is_nan"), range(first, first + 4))
        row = {**shared, **{column: f"?{number}" for column, number in own}}
        rows.append(f"({', '.join(row[column] for column in COLUMNS['metrics'])})")
    return f'INSERT INTO "metrics" VALUES {", ".join(rows)}'


class DeltaOutput:
    """Rows go in as they are read; `finish` adds what only the end shows.

    A signature says in which round an entity was sent (`7-<hash>`); the watermark, which round is
    the last that was merged to its end. The merge notes a run before the run's metrics, and may be
    stopped in between: what was sent in a later round than the last finished one counts as never
    sent. Round 0 is never trusted; `+` marks an entity whose artifacts may still grow.
    """

    def __init__(self, database: sqlite3.Connection, known: Mapping[str, Any]) -> None:
        self._database = database
        self._signatures: Mapping[str, Mapping[str, str]] = known.get("signatures", {})
        mark = known.get("watermarks", {}).get(_MARK, {})
        self._finished = int(mark.get("rowid", 0)) if mark.get("guard") == _GUARD else 0
        self._present: Dict[str, Set[str]] = {}
        self._notes: List[str] = []
        self._insert: Dict[str, str] = {}
        self.counts = {kind.name: 0 for kind in schema.KINDS.values() if kind.table in COLUMNS}
        self.metric_rows = 0
        self.incomplete = False
        """Some folder couldn't be looked into: what isn't seen need not be gone."""
        for table, columns in COLUMNS.items():
            names = ", ".join(f'"{column}"' for column in columns)
            database.execute(f'CREATE TABLE "{table}" ({names})')
            self._insert[table] = f'INSERT INTO "{table}" VALUES ({", ".join("?" * len(columns))})'

    def add(self, table: str, rows: Iterable[Sequence[object]]) -> None:
        self._database.executemany(self._insert[table], rows)

    def add_points(self, key: str, run: str, points: Points) -> None:
        """Many rows by one statement: a third of the time that one statement for each takes."""
        count = len(points.steps)
        flat: List[object] = [False] * (4 * count)
        flat[0::4], flat[1::4], flat[2::4] = points.values, points.times, points.steps
        if points.nans is not None:
            flat[3::4] = points.nans
        for start in range(0, count, POINTS):
            some = flat[start * 4 : (start + POINTS) * 4]
            self._database.execute(_insert_points(len(some) // 4), (key, run, *some))
        self.metric_rows += count

    def claim(self, kind: str, identity: object) -> bool:
        """Say that an entity is still there; False for an id that was claimed before."""
        present = self._present.setdefault(kind, set())
        is_new = str(identity) not in present
        present.add(str(identity))
        return is_new

    def has(self, kind: str, identity: str) -> bool:
        """True for an entity that was claimed."""
        return identity in self._present.get(kind, ())

    def is_unchanged(self, kind: str, identity: object, signature: str) -> bool:
        """True where it was merged to its end with this very signature."""
        round_, is_same = self._sent(kind, identity, signature)
        return is_same and 0 < round_ <= self._finished

    def is_working(self, kind: str, identity: object) -> bool:
        """True for one that was RUNNING or PENDING when it was sent last."""
        return self._signatures.get(kind, {}).get(str(identity), "").endswith("+")

    def add_entity(
        self, kind: str, identity: object, signature: str, *, settled: bool, working: bool = False
    ) -> None:
        """Name an entity whose rows are in the delta; an unsettled one comes again next time."""
        row = (kind, identity, f"{self._round if settled else 0}-{signature}{'+' * working}")
        self._database.execute("INSERT INTO entities VALUES (?, ?, ?)", row)
        self.counts[kind] += 1

    def note(self, label: str, reason: str = "") -> None:
        """Name what is left out, and what is wrong with it if it is at fault."""
        line = f"{label}: {reason}" if reason else label
        self._notes.append(line.encode("utf-8", "backslashreplace").decode("utf-8"))

    def finish(self, meta: Dict[str, Any]) -> None:
        """Write what is gone and the delta's own values, `meta` among them."""
        gone = [] if self.incomplete else list(self._gone())
        self._database.executemany("INSERT INTO gone VALUES (?, ?)", gone)
        is_empty = not gone and not any(self.counts.values())
        last = self._finished if is_empty else self._round
        left_out = self._notes[:NOTES]
        if len(self._notes) > NOTES:
            left_out.append(f"and {len(self._notes) - NOTES} more")
        marks = {_MARK: {"rowid": last, "guard": _GUARD}}
        rows = {**meta, "watermarks": marks, "left_out": left_out}
        self._database.executemany(
            "INSERT INTO meta VALUES (?, ?)", [(key, json.dumps(rows[key])) for key in rows]
        )

    def _gone(self) -> Iterator[Tuple[str, str]]:
        for kind in self.counts:
            for identity in self._signatures.get(kind, {}):
                if not self.has(kind, identity):
                    yield kind, identity

    @property
    def _round(self) -> int:
        return self._finished + 1

    def _sent(self, kind: str, identity: object, signature: str) -> Tuple[int, bool]:
        sent = self._signatures.get(kind, {}).get(str(identity), "")
        round_, _, rest = sent.partition("-")
        return (int(round_) if round_.isdigit() else 0), rest.rstrip("+") == signature
