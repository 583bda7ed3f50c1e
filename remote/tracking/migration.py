"""Brings a delta to the schema of the store that it is merged into, where that is a later one.

MLflow's migrations move values: 75868b020152, of MLflow 3.17, takes a trace's name, session, tokens
and cost out of tags and metrics into columns. A merge column by column would lose them. So MLflow
migrates a private store of the delta's rows, which takes the delta's place.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Mapping, Optional

from remote.tracking import schema
from remote.tracking.revisions import schema_of
from remote.tracking.store import has_table, run_mlflow, usable

_PROGRAM = Path(__file__).with_name("migrate_delta.py")


def fit(
    delta: Path,
    store: Path,
    *,
    python: Optional[Path] = Path(sys.executable),
    env: Mapping[str, str],
    on_target: str = "",
) -> str:
    """Migrate the delta with the MLflow of `python`, where need be and there is one.

    Empty, or why what newer MLflows keep in other places isn't merged; `on_target` stands before a
    command that has to be run there. Raises StoreError.
    """
    ours = schema_of(store, python)
    with usable(store), closing(sqlite3.connect(str(delta))) as database:
        before = _revision(database)
    if before in ("", ours.revision):
        return ""
    if ours._replace(revision=before).can_become(ours.revision):
        _migrate(delta, before, ours.revision, str(python), env)
        return ""
    place = "on the server" if on_target else "on this machine"
    what = f"its schema ({before}) is another than that of {store.name} {place} ({ours.revision})"
    if ours.can_become(before):
        command = f"{on_target}mlflow db upgrade sqlite:///{store}"
        return f"{what}, which is older. To merge all of it: {command}"
    if on_target and not ours.mlflow:
        return (
            f"{what}, and no environment on the server has an MLflow that could migrate it: what they keep"
            " in different places isn't merged. To make one: inv remote-setup"
        )
    return (
        f"{what}, and MLflow {ours.mlflow or '(none)'} {place} doesn't know both. Unless a newer MLflow"
        " reads them (raise mlflow, make lock), what they keep in other places isn't merged"
    )


def _migrate(delta: Path, before: str, after: str, python: str, env: Mapping[str, str]) -> None:
    with tempfile.TemporaryDirectory(dir=str(delta.parent), prefix=".migrated-") as folder:
        new = Path(folder) / "mlflow.db"
        # As text: run as a file, what lies beside it would hide other packages.
        program = ["-c", _PROGRAM.read_text("utf-8"), str(delta.resolve()), before, after, new.name]
        run_mlflow(python, program, cwd=new.parent, env=env, failure=f"{delta} can't be migrated")
        os.replace(str(new), str(delta))


def _revision(delta: sqlite3.Connection) -> str:
    """That of a delta's rows; empty where it has none, or the merge will refuse it."""
    names = ["entities", *(table.name for table in schema.append_only())]
    rows = (f'SELECT 1 FROM "{name}" LIMIT 1' for name in names if has_table(delta, name))
    if not has_table(delta, "meta") or not any(map(list, map(delta.execute, rows))):
        return ""
    value = delta.execute("SELECT value FROM meta WHERE key = 'alembic'").fetchone()
    return str((json.loads(value[0]) if value else None) or "")[:40]
