"""Artifacts that a record says exist, and that aren't there.

A run without artifacts has no folder, so a missing folder alone says nothing. What says something:
a model that is ready, a version of a registered model, a trace whose spans are in a file, and the
tags in which MLflow lists what a run logged.
"""

from __future__ import annotations

import json
import posixpath
import sqlite3
from typing import Iterator, Mapping, Sequence

from remote.output import plural
from remote.tracking import schema
from remote.tracking.check.finding import Finding
from remote.tracking.check.path_rows import ARCHIVE
from remote.tracking.check.path_status import PathStatus, State
from remote.tracking.check.project_dir import has_file
from remote.tracking.store import has_table

_READY_MODELS = (
    # 2 is LoggedModelStatus.READY; of an external model, MLflow has no files.
    "SELECT model_id FROM logged_models WHERE status = 2 AND model_id NOT IN (SELECT model_id"
    " FROM logged_model_tags WHERE tag_key = 'mlflow.model.isExternal')"
)
_SPANS = "SELECT request_id FROM trace_tags WHERE key = 'mlflow.trace.spansLocation' AND value = ?"
_TAGS: Mapping[str, str] = {
    "mlflow.log-model.history": "artifact_path",
    "mlflow.loggedArtifacts": "path",
}
"""Tags of a run that list what it logged, in JSON, and the key of each path in it."""


def missing_artifacts(
    database: sqlite3.Connection, statuses: Sequence[PathStatus]
) -> list[Finding]:
    """What is missing, in one finding."""
    folders = _missing_folders(database, statuses)
    missing = tuple(dict.fromkeys([*folders, *_missing_files(database, statuses)]))
    if not missing:
        return []
    summary = f"{plural(len(missing), 'artifact')} that records name can't be found"
    step = "Pull again (make sync-pull), or bring them back from a copy of mlruns/."
    return [Finding("artifacts", summary, missing, step=step)]


def _missing_folders(database: sqlite3.Connection, statuses: Sequence[PathStatus]) -> Iterator[str]:
    expected = _expected(database)
    for status in statuses:
        record = status.record
        ids = expected.get((record.kind, record.tag))
        is_expected = record.kind == "model_version" if ids is None else record.id in ids
        has_place = is_expected and status.path and status.state is not State.NOWHERE
        if has_place and not has_file(str(status.path)):
            yield record.label


def _expected(database: sqlite3.Connection) -> dict[tuple[str, str], set[str]]:
    """The models and traces that have files; of a trace, by the tag that says where."""
    expected: dict[tuple[str, str], set[str]] = {}
    if has_table(database, "logged_models"):
        expected[schema.MODEL, ""] = {model for (model,) in database.execute(_READY_MODELS)}
    if has_table(database, "trace_tags"):
        for tag, kind in (("mlflow.artifactLocation", "ARTIFACT_REPO"), (ARCHIVE, "ARCHIVE_REPO")):
            traces = {trace for (trace,) in database.execute(_SPANS, (kind,))}
            expected[schema.TRACE, tag] = traces
    return expected


def _missing_files(database: sqlite3.Connection, statuses: Sequence[PathStatus]) -> Iterator[str]:
    folders = {
        status.record.id: status.path
        for status in statuses
        if status.record.kind == schema.RUN and status.state is not State.NOWHERE
    }
    for tag, key in _TAGS.items():
        rows = database.execute("SELECT run_uuid, value FROM tags WHERE key = ?", (tag,))
        for run, text in rows:
            folder = folders.get(run)
            for path in _listed(text, key) if folder else ():
                if not has_file(posixpath.join(str(folder), path)):
                    yield f"{path} of run {run}"


def _listed(text: str, key: str) -> list[str]:
    try:
        entries = json.loads(text)
    except ValueError:
        return []
    entries = entries if isinstance(entries, list) else []
    paths = [entry.get(key) for entry in entries if isinstance(entry, dict)]
    return [path for path in paths if isinstance(path, str) and path]
