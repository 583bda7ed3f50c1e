"""The delta file while it is written: rows, what is new, what is gone, what was left out."""

from __future__ import annotations

import json
import sqlite3
from functools import lru_cache
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Sequence, Set, Tuple

from remote.tracking import schema
from remote.tracking.filestore.columns import COLUMNS, REGISTRY
from remote.tracking.filestore.metric_history import Points

NOTES = 200
"""Things named one by one as left out; the rest is counted."""
POINTS = 100
"""Of one statement. Old versions of SQLite take 999 values."""
_MARK = "metrics"
_GUARD = "file store"


@lru_cache(maxsize=POINTS)
def _insert_points(count: int) -> str:
    """Of one metric and run: ?1 is the key, ?2 the run."""
    columns = {"key": "?1", "run_uuid": "?2"}
    rows = []
    for first in range(3, 3 + count * 4, 4):
        own = zip(("value", "timestamp", "step", "is_nan"), range(first, first + 4))
        row = {**columns, **{column: f"?{number}" for column, number in own}}
        rows.append(f"({', '.join(row[column] for column in COLUMNS['metrics'])})")
    return f'INSERT INTO "metrics" VALUES {", ".join(rows)}'


class Output:
    """Signatures say in which round a thing was sent (`7-<hash>`); the watermark, which round is
    the last that was merged to its end.

    The merge notes a run before the run's metrics, and may be stopped in between: what was sent in
    a later round than the last finished one counts as never sent. Round 0 is never trusted; `+`
    marks a thing whose artifacts may still grow.
    """

    def __init__(
        self, database: sqlite3.Connection, known: Mapping[str, Any], *, registry: bool
    ) -> None:
        self._database = database
        self._signatures: Mapping[str, Mapping[str, str]] = known.get("signatures", {})
        mark = known.get("watermarks", {}).get(_MARK, {})
        self._finished = int(mark.get("rowid", 0)) if mark.get("guard") == _GUARD else 0
        self._here: Dict[str, Set[str]] = {}
        self._notes: List[str] = []
        self._insert: Dict[str, str] = {}
        self.counts = {
            kind.name: 0
            for kind in schema.KINDS.values()
            if kind.table in COLUMNS or (registry and kind.table in REGISTRY)
        }
        self.metric_rows = 0
        self.incomplete = False
        """Some folder couldn't be looked into: what isn't seen need not be gone."""
        for table, columns in {**COLUMNS, **(REGISTRY if registry else {})}.items():
            names = ", ".join(f'"{column}"' for column in columns)
            database.execute(f'CREATE TABLE "{table}" ({names})')
            self._insert[table] = f'INSERT INTO "{table}" VALUES ({", ".join("?" * len(columns))})'

    def add(self, table: str, rows: Iterable[Sequence[object]]) -> None:
        self._database.executemany(self._insert[table], rows)

    def add_named(self, table: str, rows: Iterable[Mapping[str, object]]) -> None:
        self.add(table, [[row[column] for column in COLUMNS[table]] for row in rows])

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
        """Says that a thing is still there; False for one that was there already."""
        here = self._here.setdefault(kind, set())
        is_new = str(identity) not in here
        here.add(str(identity))
        return is_new

    def has(self, kind: str, identity: str) -> bool:
        return identity in self._here.get(kind, ())

    def is_unchanged(self, kind: str, identity: object, signature: str) -> bool:
        round_, same = self._sent(kind, identity, signature)
        return same and 0 < round_ <= self._finished

    def is_working(self, kind: str, identity: object) -> bool:
        """Of an unchanged one, without reading it again."""
        return self._signatures.get(kind, {}).get(str(identity), "").endswith("+")

    def entity(
        self, kind: str, identity: object, signature: str, *, settled: bool, working: bool = False
    ) -> None:
        row = (kind, identity, f"{self._round if settled else 0}-{signature}{'+' * working}")
        self._database.execute("INSERT INTO entities VALUES (?, ?, ?)", row)
        self.counts[kind] += 1

    def note(self, what: str, reason: str) -> None:
        self.left_out(f"{what}: {reason}")

    def left_out(self, line: str) -> None:
        self._notes.append(line.encode("utf-8", "backslashreplace").decode("utf-8"))

    def finish(self, meta: Dict[str, Any]) -> None:
        gone = [] if self.incomplete else list(self._gone())
        self._database.executemany("INSERT INTO gone VALUES (?, ?)", gone)
        sent = any(self.counts.values()) or gone
        last = self._round if sent else self._finished
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
