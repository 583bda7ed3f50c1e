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
from remote.tracking.check.path_status import Look, State, Verdict
from remote.tracking.check.table_info import columns, values

NAME = "artifacts"
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


def find(database: sqlite3.Connection, verdicts: Sequence[Verdict], look: Look) -> list[Finding]:
    """What is missing, in one finding."""
    found = dict.fromkeys(
        [
            *_folders(database, verdicts, look),
            *_logged(database, verdicts, look),
            *_sources(database, verdicts),
        ]
    )
    if not found:
        return []
    told = f"{plural(len(found), 'artifact')} that records name can't be found"
    step = "Pull again (make sync-pull), or bring them back from a copy of mlruns/."
    return [Finding(NAME, told, tuple(found), step=step)]


def _folders(
    database: sqlite3.Connection, verdicts: Sequence[Verdict], look: Look
) -> Iterator[str]:
    expected = _expected(database)
    for verdict in verdicts:
        record = verdict.record
        wanted = expected.get((record.kind, record.tag))
        if wanted is not None and record.id not in wanted:
            continue
        if wanted is None and record.kind != "model_version":
            continue
        if verdict.path and verdict.state is not State.NOWHERE and not look.has(verdict.path):
            yield record.label


def _expected(database: sqlite3.Connection) -> dict[tuple[str, str], set[str]]:
    """The models and traces that have files; of a trace, by the tag that says where."""
    found: dict[tuple[str, str], set[str]] = {}
    if columns(database, "logged_models"):
        found[schema.MODEL, ""] = values(database, _READY_MODELS)
    if columns(database, "trace_tags"):
        in_files = values(database, _SPANS, "ARTIFACT_REPO")
        found[schema.TRACE, "mlflow.artifactLocation"] = in_files
        found[schema.TRACE, ARCHIVE] = values(database, _SPANS, "ARCHIVE_REPO")
    return found


def _logged(database: sqlite3.Connection, verdicts: Sequence[Verdict], look: Look) -> Iterator[str]:
    folders = {
        verdict.record.id: verdict.path
        for verdict in verdicts
        if verdict.record.kind == schema.RUN and verdict.state is not State.NOWHERE
    }
    for tag, key in _TAGS.items():
        rows = database.execute("SELECT run_uuid, value FROM tags WHERE key = ?", (tag,))
        for run, text in rows:
            folder = folders.get(run)
            for path in _listed(text, key) if folder else ():
                if not look.has(posixpath.join(str(folder), path)):
                    yield f"{path} of run {run}"


def _listed(text: str, key: str) -> list[str]:
    try:
        entries = json.loads(text)
    except ValueError:
        return []
    entries = entries if isinstance(entries, list) else []
    found = [entry.get(key) for entry in entries if isinstance(entry, dict)]
    return [path for path in found if isinstance(path, str) and path]


def _sources(database: sqlite3.Connection, verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Versions that were made from a model or a run that is gone, and have no files elsewhere."""
    if not columns(database, "model_versions"):
        return
    stored = {verdict.record.id for verdict in verdicts if verdict.record.kind == "model_version"}
    for prefix, kind in (("models:/m-", schema.MODEL), ("runs:/", schema.RUN)):
        owner = schema.KINDS[kind]
        known = values(database, f'SELECT "{owner.column}" FROM "{owner.table}"')
        rows = database.execute(
            "SELECT name || '/' || version, source FROM model_versions WHERE source LIKE ?",
            (prefix + "%",),
        )
        for label, source in rows:
            if source.split("/")[1] not in known and label not in stored:
                yield f"model version {label}"
