"""Mends what a check found."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Optional, Sequence

from remote.tracking.check.examine import PARTS
from remote.tracking.check.finding import Finding
from remote.tracking.check.open_store import back_up
from remote.tracking.check.project_dir import Place
from remote.tracking.store import BUSY_TIMEOUT, unusable

_ROUNDS = 8
"""What hung on a deleted row is found in the next round; MLflow's tables hang four deep at most."""


def mend(place: Place, found: Sequence[Finding]) -> Optional[Path]:
    """Does all changes of `found` in one transaction; the copy that was made before, if any was.

    What is to be done is asked again under the lock: the store may have changed since.
    """
    if not any(finding.changes for finding in found):
        return None
    copy = back_up(place.store, time.strftime("%Y%m%d-%H%M%S"))
    try:
        with closing(sqlite3.connect(place.store, timeout=BUSY_TIMEOUT)) as database:
            database.isolation_level = None
            database.execute("BEGIN IMMEDIATE")
            names = {finding.name for finding in found if finding.changes}
            for _ in range(_ROUNDS):
                if not _round(database, place, names):
                    break
            database.execute("COMMIT")
    except sqlite3.Error as error:
        raise unusable(place.store, error) from error
    return copy


def _round(database: sqlite3.Connection, place: Place, names: set[str]) -> bool:
    """One pass over the parts that found something; True where something was changed."""
    changed = False
    for name, part in PARTS.items():
        if name not in names:
            continue
        for finding in part(database, place):
            for change in finding.changes:
                database.execute(change.query, change.values)
                changed = True
    return changed
