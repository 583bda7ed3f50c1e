"""All that is checked, in order, and the mending of what can be mended."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Optional, Sequence

from remote.output import plural
from remote.tracking.check import missing_artifacts, outside_paths
from remote.tracking.check.finding import Finding
from remote.tracking.check.open_store import back_up, integrity, left_journal, refuse_foreign
from remote.tracking.check.path_rows import records
from remote.tracking.check.path_status import PathStatus, path_statuses
from remote.tracking.check.project_dir import Disk, ProjectDir
from remote.tracking.store import BUSY_TIMEOUT, connect_read_only, unusable

META = "meta.yaml"


def examine(project: ProjectDir) -> list[Finding]:
    """What is wrong with the store; raises StoreError where it is none, or can't be read."""
    journal = left_journal(project.store)
    refuse_foreign(project.store)
    damage = integrity(project.store)
    if damage:
        return [*journal, *damage]
    try:
        with closing(connect_read_only(project.store)) as database:
            # Every statement is a transaction of its own: a long one would keep writers out.
            database.isolation_level = None
            statuses = _statuses(database, project)
            missing = missing_artifacts.find(database, statuses, Disk())
    except sqlite3.Error as error:
        raise unusable(project.store, error) from error
    paths = outside_paths.findings(statuses, project)
    return [*journal, *paths, *missing, *_file_store(project)]


def mend(project: ProjectDir, findings: Sequence[Finding]) -> Optional[Path]:
    """Does what mends `findings` in one transaction; the copy that was made before, if any was.

    What is to be done is asked again under the lock: the store may have changed since.
    """
    if not any(finding.changes for finding in findings):
        return None
    copy = back_up(project.store, time.strftime("%Y%m%d-%H%M%S"))
    try:
        with closing(sqlite3.connect(project.store, timeout=BUSY_TIMEOUT)) as database:
            database.isolation_level = None
            database.execute("BEGIN IMMEDIATE")
            for finding in outside_paths.findings(_statuses(database, project), project):
                for change in finding.changes:
                    database.execute(change.query, change.values)
            database.execute("COMMIT")
    except sqlite3.Error as error:
        raise unusable(project.store, error) from error
    return copy


def _statuses(database: sqlite3.Connection, project: ProjectDir) -> list[PathStatus]:
    return list(path_statuses(records(database, project), project, Disk()))


def _file_store(project: ProjectDir) -> list[Finding]:
    """What makes plain `mlflow ui` choose `mlruns` over the database, and refuse to start."""
    experiments = [
        name
        for name in _listed(project.mlruns)
        if name.isdigit() and os.path.lexists(f"{project.mlruns}/{name}/{META}")
    ]
    if not experiments:
        return []
    count = plural(len(experiments), "experiment")
    summary = f"mlruns holds a file store ({count}), for which mlflow ui passes the database over"
    step = "Bring its runs into the database (inv mlflow-merge mlruns), then move these files away."
    items = tuple(f"mlruns/{name}/{META}" for name in experiments)
    return [Finding("file store", summary, items, step)]


def _listed(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
