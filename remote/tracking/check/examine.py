"""All that is checked, in order."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Callable, Mapping

from remote.tracking.check import (
    latest_metrics,
    missing_artifacts,
    mlruns_files,
    orphans,
    outside_paths,
)
from remote.tracking.check.finding import Finding
from remote.tracking.check.open_store import integrity, left_journal, refuse_foreign
from remote.tracking.check.path_rows import records
from remote.tracking.check.path_status import verdicts
from remote.tracking.check.project_dir import Disk, Place
from remote.tracking.store import connect_read_only, unusable

Part = Callable[[sqlite3.Connection, Place], "list[Finding]"]


def examine(place: Place) -> list[Finding]:
    """What is wrong with the store; raises StoreError where it is none, or can't be read."""
    left = left_journal(place.store)
    refuse_foreign(place.store)
    damage = integrity(place.store)
    if damage:
        return [*left, *damage]
    try:
        with closing(connect_read_only(place.store)) as database:
            # Every statement is a transaction of its own: a long one would keep writers out.
            database.isolation_level = None
            parts = [part(database, place) for part in (*PARTS.values(), _around)]
    except sqlite3.Error as error:
        raise unusable(place.store, error) from error
    return [*left, *(finding for found in parts for finding in found)]


def _paths(database: sqlite3.Connection, place: Place) -> list[Finding]:
    return outside_paths.findings(verdicts(records(database, place), place, Disk()), place)


def _around(database: sqlite3.Connection, place: Place) -> list[Finding]:
    """What lies beside the store, judged by where the records will lead once they are mended."""
    disk = Disk()
    found = list(verdicts(records(database, place), place, disk))
    return [
        *missing_artifacts.find(database, found, disk),
        *mlruns_files.file_store(place),
        *mlruns_files.strays(place, found, disk),
    ]


PARTS: Mapping[str, Part] = {
    orphans.NAME: orphans.find,
    latest_metrics.NAME: latest_metrics.find,
    outside_paths.NAME: _paths,
}
"""What can be mended, by the name of its findings: each finds again what is left."""
