"""Artifacts that a record says exist, and that aren't there.

A run without artifacts has no folder, so a missing folder alone says nothing. What says something:
a model that is ready, a version of a registered model, a trace whose spans are in a file.
"""

from __future__ import annotations

import sqlite3
from typing import Mapping, Sequence

from remote.tracking import schema
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


def missing_artifacts(database: sqlite3.Connection, paths: Sequence[StoredPath]) -> tuple[str, ...]:
    """The names of what is missing."""
    expected = {
        kind: {identity for (identity,) in database.execute(query)}
        for kind, (table, query) in _WITH_FILES.items()
        if has_table(database, table)
    }
    labels = [
        path.label
        for path in paths
        if path.state is not State.OUTSIDE
        and (path.kind == "model_version" or path.id in expected.get(path.kind, ()))
        and not has_file(path.place)
    ]
    return tuple(dict.fromkeys(labels))
