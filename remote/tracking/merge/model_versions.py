"""Versions of registered models: which may come in, and where their files are here."""

from __future__ import annotations

from typing import Optional

from remote.tracking import schema
from remote.tracking.merge.artifact_paths import lies_elsewhere, path_below
from remote.tracking.merge.merge_session import MergeSession


def prepare(session: MergeSession) -> None:
    """Fills temp.place and temp.excluded for the versions of the models in the batch."""
    columns = session.shared.get("model_versions")
    if columns is None:
        return
    _exclude_clashes(session)
    sources = [name for name in schema.table_of("model_versions").sources if name in columns]
    # MLflow keeps the row of a deleted version, without its content.
    session.database.execute(
        "INSERT OR IGNORE INTO temp.excluded SELECT name, version FROM delta.model_versions"
        " WHERE current_stage = 'Deleted_Internal'"
    )
    rows = session.database.execute(
        "SELECT name, version, " + ", ".join(sources) + " FROM delta.model_versions d"
        " WHERE name IN (SELECT id FROM temp.batch) AND NOT EXISTS"
        " (SELECT 1 FROM temp.excluded x WHERE x.name = d.name AND x.version = d.version)"
    ).fetchall()
    for name, version, *paths in rows:
        for path in paths:
            here = None if path is None else _here(session, path)
            if here is not None:
                session.database.execute(
                    "INSERT OR IGNORE INTO temp.place VALUES (?, ?)", (path, here)
                )
            elif path is not None:
                _exclude(session, name, version, f"its model isn't here: {path}")


def _exclude_clashes(session: MergeSession) -> None:
    """Two models under one name and version: ours is kept, whole."""
    clashes = session.database.execute(
        "SELECT d.name, d.version FROM delta.model_versions d JOIN main.model_versions o"
        " ON o.name = d.name AND o.version = d.version"
        " WHERE d.name IN (SELECT id FROM temp.batch) AND (o.creation_time IS NOT d.creation_time"
        " OR o.run_id IS NOT d.run_id) AND NOT EXISTS (SELECT 1 FROM base.model_versions b"
        " WHERE b.name = d.name AND b.version = d.version)"
    ).fetchall()
    for name, version in clashes:
        _exclude(session, name, version, "another model has this name and version here")


def _exclude(session: MergeSession, name: object, version: object, reason: str) -> None:
    done = session.database.execute(
        "INSERT OR IGNORE INTO temp.excluded VALUES (?, ?)", (name, version)
    )
    if done.rowcount:
        session.refuse("model version", f"{name}/{version}", reason)


def _here(session: MergeSession, path: object) -> Optional[str]:
    """The local name of what a version says its files are; None where that isn't here."""
    if not isinstance(path, str):
        return None
    if path.startswith("models:/") or lies_elsewhere(path):
        return path
    relative = path_below(path, roots=session.roots, places=session.places)
    if relative is None:
        return None
    owner, _, rest = relative.partition("/artifacts")
    identity = owner.rsplit("/", 1)[-1]
    query = "SELECT artifact_uri FROM main.runs WHERE run_uuid = ?"
    if "/models/" in owner:
        if "logged_models" not in session.shared:
            return None
        query = "SELECT artifact_location FROM main.logged_models WHERE model_id = ?"
    row = session.database.execute(query, (identity,)).fetchone()
    return f"{row[0]}{rest}" if row and row[0] else None
