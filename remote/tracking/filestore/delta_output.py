"""The delta file while it is written: rows, what is new, what is gone, what was left out."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import time
from functools import lru_cache
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

from remote.tracking import schema
from remote.tracking.filestore.layout import FAULTS, META, Unreadable, is_text, read, scan, why
from remote.tracking.filestore.metric_history import Points
from remote.tracking.filestore.yaml_mapping import read_mapping

_TABLES = """
CREATE TABLE experiments (experiment_id, name, artifact_location, lifecycle_stage, creation_time,
    last_update_time);
CREATE TABLE experiment_tags (key, value, experiment_id);
CREATE TABLE runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status,
    start_time, end_time, source_version, lifecycle_stage, artifact_uri, experiment_id,
    deleted_time);
CREATE TABLE params (key, value, run_uuid);
CREATE TABLE tags (key, value, run_uuid);
CREATE TABLE metrics (key, run_uuid, value, timestamp, step, is_nan);
CREATE TABLE latest_metrics (key, run_uuid, value, timestamp, step, is_nan);
CREATE TABLE datasets (dataset_uuid, experiment_id, name, digest, dataset_source_type,
    dataset_source, dataset_schema, dataset_profile);
CREATE TABLE inputs (input_uuid, source_type, source_id, destination_type, destination_id, step);
CREATE TABLE input_tags (input_uuid, name, value);
CREATE TABLE logged_models (model_id, experiment_id, name, artifact_location,
    creation_timestamp_ms, last_updated_timestamp_ms, status, lifecycle_stage, model_type,
    source_run_id, status_message);
CREATE TABLE logged_model_params (param_key, param_value, model_id, experiment_id);
CREATE TABLE logged_model_tags (tag_key, tag_value, model_id, experiment_id);
CREATE TABLE logged_model_metrics (model_id, metric_name, metric_timestamp_ms, metric_step,
    metric_value, experiment_id, run_id, dataset_name, dataset_digest);
"""
"""With the columns that a file store has values for; the rest stays as the database has it."""
KINDS = (schema.EXPERIMENT, schema.RUN, schema.MODEL)
NOTES = 200
"""What is named one by one as left out; the rest is counted."""
POINTS = 100
"""Of one statement. SQLite before 3.32 takes 999 values (https://www.sqlite.org/limits.html)."""
_MARK = "metrics"
_GUARD = "file store"
"""In place of a row's hash: no watermark of a database is taken for one of a file store."""


@lru_cache(maxsize=POINTS)
def _insert_points(count: int) -> str:
    """Of one metric and run: ?1 is the key, ?2 the run, and each further ? the next value."""
    return f"INSERT INTO metrics VALUES {', '.join(['(?1, ?2, ?, ?, ?, ?)'] * count)}"


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
        finished = int(mark.get("rowid", 0)) if mark.get("guard") == _GUARD else 0
        self.round = finished + 1
        self.present: Dict[str, Set[str]] = {kind: set() for kind in KINDS}
        self._notes: List[str] = []
        self.is_empty = True
        self._is_complete = True
        database.executescript(_TABLES)

    def add(self, table: str, rows: Iterable[Sequence[object]]) -> None:
        rows = list(rows)
        if rows:
            marks = ", ".join("?" * len(rows[0]))
            self._database.executemany(f'INSERT INTO "{table}" VALUES ({marks})', rows)

    def add_points(self, key: str, run: str, points: Points) -> None:
        """Many rows by one statement: a third of the time that one statement for each takes."""
        count = len(points.steps)
        # No bool: sqlite3 asks its adapters about each, which takes as long as all else here.
        flat: List[object] = [0] * (4 * count)
        flat[0::4], flat[1::4], flat[2::4] = points.values, points.times, points.steps
        if points.nans is not None:
            flat[3::4] = points.nans
        for start in range(0, count, POINTS):
            some = flat[start * 4 : (start + POINTS) * 4]
            self._database.execute(_insert_points(len(some) // 4), (key, run, *some))

    def claim(self, kind: str, identity: str) -> bool:
        """Say that an entity is still there. False for an id that was claimed before."""
        is_new = identity not in self.present[kind]
        self.present[kind].add(identity)
        return is_new

    def last_sent(self, kind: str, identity: str) -> Tuple[str, bool]:
        """The signature that an entity was merged to its end with, empty where there is none, and
        whether it was RUNNING or PENDING when it was sent last.
        """
        sent = self._signatures.get(kind, {}).get(identity, "")
        round_, _, signature = sent.rstrip("+").partition("-")
        is_finished = round_.isdigit() and 0 < int(round_) < self.round
        return signature if is_finished else "", sent.endswith("+")

    def subfolders(self, path: str) -> List[str]:
        """The names of the real folders in a folder; none where it is a link, or isn't there."""
        try:
            with os.scandir(path) as entries:
                folders = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            self.note_unseen(path, f"it can't be listed ({why(error)})")
            return []
        return [] if os.path.islink(path) else sorted(filter(is_text, folders))

    def note(self, label: str, reason: str = "") -> None:
        """Name what is left out, and what is wrong with it if it is at fault."""
        line = f"{label}: {reason}" if reason else label
        self._notes.append(line.encode("utf-8", "backslashreplace").decode("utf-8"))

    def note_unseen(self, label: str, reason: str) -> None:
        """The same of a folder that can't be looked into: what isn't seen need not be gone."""
        self._is_complete = False
        self.note(label, reason)

    def finish(self, meta: Dict[str, Any]) -> None:
        """Write what is gone and the delta's own values, `meta` among them."""
        gone = [
            (kind, identity)
            for kind in KINDS
            for identity in self._signatures.get(kind, {})
            if self._is_complete and identity not in self.present[kind]
        ]
        self._database.executemany("INSERT INTO gone VALUES (?, ?)", gone)
        left_out = self._notes[:NOTES]
        if len(self._notes) > NOTES:
            left_out.append(f"and {len(self._notes) - NOTES} more")
        marks = {_MARK: {"rowid": self.round - (self.is_empty and not gone), "guard": _GUARD}}
        rows = {**meta, "watermarks": marks, "left_out": left_out}
        self._database.executemany(
            "INSERT INTO meta VALUES (?, ?)", [(key, json.dumps(rows[key])) for key in rows]
        )


class Entity:
    """A run, a logged model or an experiment, whose rows may have to be sent.

    `kind` is one of KINDS, `place` its experiment's path below the store's root.
    """

    def __init__(
        self, output: DeltaOutput, kind: str, folder: str, parts: Sequence[str], place: str
    ) -> None:
        """Of the files in the folder and its subfolders `parts`."""
        self.output, self.kind, self.folder = output, kind, folder
        self.id = os.path.basename(folder)
        self.label = f"{kind}s/{self.id}"
        self._seen = time.time_ns()
        self.files, self.trouble = scan(folder, parts)
        content = repr((place, sorted(self.files.items()))).encode("utf-8", "backslashreplace")
        self.signature = hashlib.blake2b(content, digest_size=8).hexdigest()
        known, self.was_working = output.last_sent(kind, self.id)
        self.is_unchanged = known == self.signature
        self.is_complete = not self.trouble
        """False: it is sent again the next time, changed or not."""
        for trouble in self.trouble:
            output.note(self.label, trouble)

    def names(self, part: str) -> List[str]:
        """The paths of the files in a part such as `params`, beginning there."""
        start = len(part) + 1
        return sorted(name[start:] for name in self.files if name.startswith(part + "/"))

    def note(self, name: str, error: Exception) -> None:
        """A file of it can't be read. What the system refused may be allowed the next time."""
        if isinstance(error, OSError):
            self.is_complete = False
        self.output.note(self.label, f"{name} can't be read ({why(error)})")

    def note_lines(self, name: str, bad: int) -> None:
        """So many lines of a metric can't be read."""
        if bad:
            lines = "1 line" if bad == 1 else f"{bad} lines"
            self.output.note(self.label, f"{lines} of {name} can't be read")

    def values(self, part: str) -> Iterator[Tuple[str, str]]:
        """The files of a part as pairs: a name is the key, a content the value."""
        for name in self.names(part):
            try:
                yield name, read(f"{self.folder}/{part}/{name}").decode("utf-8")
            except UnicodeDecodeError:
                self.note(f"{part}/{name}", Unreadable("it isn't text"))
            except FAULTS as error:
                self.note(f"{part}/{name}", error)

    def mappings(self, part: str) -> Iterator[Tuple[str, Dict[str, Any]]]:
        """The files `<id>/meta.yaml` of a part as pairs of id and content."""
        for name in self.names(part):
            identity, _, rest = name.partition("/")
            try:
                if rest == META:
                    yield identity, read_mapping(f"{self.folder}/{part}/{name}")
            except FAULTS as error:
                self.note(f"{part}/{name}", error)

    def written(self, *, working: bool = False) -> None:
        """Its rows are in the delta; a `working` one is sent again, since its artifacts grow.

        So is one that was changed just now, since another change might leave sizes and times as
        they are: a file system tells the time in ticks, the coarsest in whole seconds or two.
        """
        newest = max((time for _, time in self.files.values()), default=0)
        tick = 50_000_000 if newest % 1_000_000_000 else 2_000_000_000  # ns
        round_ = self.output.round if self.is_complete and newest < self._seen - tick else 0
        signature = f"{round_}-{self.signature}{'+' * working}"
        self.output.add("entities", [(self.kind, self.id, signature)])
        self.output.is_empty = False


def open_entity(
    output: DeltaOutput, kind: str, folder: str, parts: Sequence[str], place: str
) -> Optional[Entity]:
    """None for what needn't be sent: it is as it was, or has no meta.yaml and so is none."""
    entity = Entity(output, kind, folder, parts, place)
    if META not in entity.files:
        if entity.trouble:
            output.claim(kind, entity.id)
        return None
    if not output.claim(kind, entity.id):
        output.note(entity.label, f"there is another one, so that in {place} can't be taken")
        return None
    return None if entity.is_unchanged and not entity.was_working else entity
