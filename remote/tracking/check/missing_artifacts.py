"""Artifacts that a record says exist, and that aren't there.

A run without artifacts has no folder, so a missing folder alone says nothing. What says something:
a model that is ready, a version of a registered model, a trace whose spans are in a file, and the
tags in which MLflow lists what a run logged. What a pull has left on its server isn't missing.
"""

from __future__ import annotations

import json
import posixpath
import sqlite3
from typing import Iterator, Mapping, Sequence

from remote.tracking import left_artifacts, schema
from remote.tracking.check.stored_paths import State, StoredPath, has_file
from remote.tracking.store import has_table

_WITH_FILES: Mapping[str, tuple[str, str]] = {
    # 2 is LoggedModelStatus.READY; of an external model, MLflow has no files.
    schema.MODEL: (
        "logged_models",
        "SELECT model_id FROM logged_models WHERE status = 2 AND model_id NOT IN (SELECT model_id"
        " FROM logged_model_tags WHERE tag_key = 'mlflow.model.isExternal')",
    ),
    schema.TRACE: (
        "trace_tags",
        "SELECT request_id FROM trace_tags WHERE key = 'mlflow.trace.spansLocation'"
        " AND value = 'ARTIFACT_REPO'",
    ),
}
"""The models and traces that have files: a table that older stores lack, and a query."""
_TAGS: Mapping[str, str] = {
    "mlflow.log-model.history": "artifact_path",
    "mlflow.loggedArtifacts": "path",
}
"""Tags of a run that list what it logged, in JSON, and the key of each path in it."""


def missing_artifacts(database: sqlite3.Connection, paths: Sequence[StoredPath]) -> tuple[str, ...]:
    """The names of what is missing."""
    left = _left(database)
    located = [
        path
        for path in paths
        if path.state is not State.OUTSIDE and not left & {*path.place.split("/"), path.id}
    ]
    expected = {
        kind: {identity for (identity,) in database.execute(query)}
        for kind, (table, query) in _WITH_FILES.items()
        if has_table(database, table)
    }
    folders = [
        path.label
        for path in located
        if (path.kind == "model_version" or path.id in expected.get(path.kind, ()))
        and not has_file(path.place)
    ]
    return tuple(dict.fromkeys([*folders, *_missing_files(database, located)]))


def _missing_files(database: sqlite3.Connection, located: Sequence[StoredPath]) -> Iterator[str]:
    folders = {path.id: path.place for path in located if path.kind == schema.RUN}
    for tag, key in _TAGS.items():
        rows = database.execute("SELECT run_uuid, value FROM tags WHERE key = ?", (tag,))
        for run, text in rows:
            for path in _listed(text, key) if run in folders else ():
                if not has_file(posixpath.join(folders[run], path)):
                    yield f"{path} of run {run}"


def _left(database: sqlite3.Connection) -> set[str]:
    """The runs that tell of artifacts left on their server, and the models that they made."""
    query = "SELECT run_uuid FROM tags WHERE key = ?"
    runs = {str(run) for (run,) in database.execute(query, (left_artifacts.TAG,))}
    if not runs or not has_table(database, "logged_models"):
        return runs
    models = database.execute("SELECT model_id, source_run_id FROM logged_models")
    return runs | {str(model) for model, run in models if run in runs}


def _listed(text: str, key: str) -> list[str]:
    try:
        entries = json.loads(text)
    except ValueError:
        return []
    entries = entries if isinstance(entries, list) else []
    paths = [entry.get(key) for entry in entries if isinstance(entry, dict)]
    return [path for path in paths if isinstance(path, str) and path]
