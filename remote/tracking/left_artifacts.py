"""Artifacts that a pull has left on their server: a tag of the run that they belong to tells of them.

    remote.artifacts_left    `model/net.pt (1 file, 3.2 GB) on user@host:/proj`

What is to be brought later is not known by the tag but by the merge's base, which lists each folder
that hasn't come whole (remote.tracking.merge).
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Dict, Iterable, List, Mapping

from remote.tracking.store import connect_read_only, has_table, usable, writing

TAG = "remote.artifacts_left"


def owners(store: Path, folders: Iterable[str]) -> Dict[str, str]:
    """The run that each folder of artifacts belongs to, by the folder: its own, or the run that made
    the model. A folder without a run is left out."""
    found = {}
    with usable(store), closing(connect_read_only(store)) as database:
        has_models = has_table(database, "logged_models")
        for folder in folders:
            kind, identity = folder.split("/")[-3:-1]
            if kind != "models":
                found[folder] = identity
            elif has_models:
                query = "SELECT source_run_id FROM logged_models WHERE model_id = ?"
                row = database.execute(query, (identity,)).fetchone()
                found.update({folder: str(row[0])} if row and row[0] else {})
    return found


def runs(store: Path, prefix: str) -> List[str]:
    """The runs whose ids begin so."""
    with usable(store), closing(connect_read_only(store)) as database:
        query = "SELECT run_uuid FROM runs WHERE substr(run_uuid, 1, length(?1)) = ?1"
        return [str(run) for (run,) in database.execute(query, (prefix,))]


def tagged(store: Path) -> Dict[str, str]:
    """What the tags say, by run."""
    with usable(store), closing(connect_read_only(store)) as database:
        rows = database.execute("SELECT run_uuid, value FROM tags WHERE key = ?", (TAG,))
        return {str(run): str(value) for run, value in rows}


def tag(store: Path, texts: Mapping[str, str]) -> None:
    """Have each of these runs tell this; an empty text removes the tag."""
    before = tagged(store)
    changed = {run: text for run, text in texts.items() if before.get(run, "") != text}
    if not changed:
        return
    with writing(store) as database:
        for run, text in changed.items():
            database.execute("DELETE FROM tags WHERE key = ? AND run_uuid = ?", (TAG, run))
            database.execute(
                "INSERT INTO tags (key, value, run_uuid)"
                " SELECT ?, ?, run_uuid FROM runs WHERE run_uuid = ? AND ? != ''",
                (TAG, text, run, text),
            )
