"""The revisions of MLflow's schema: which one a store is at, and which ones an MLflow knows.

An MLflow brings a file for each, one after the other. They are read as text: importing MLflow takes
seconds, and the one that is asked about may be of another environment.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, Optional, Tuple

from remote.errors import StoreError
from remote.tracking.store import connect_read_only, is_present, usable

#: Seconds that a look waits for who has locked the store.
PATIENCE = 5.0

_NAMES = re.compile(r"^(?:down_)?revision\b[^=\n]*=\s*(?:None|[\"'](\w+)[\"'])", re.MULTILINE)
_FILES = "lib/python3*/site-packages/mlflow/store/db_migrations/versions/*.py"


class StoreSchema(NamedTuple):
    """The schema of a store, and the MLflow that is to open it; empty for what isn't there."""

    revision: str
    mlflow: str
    known: Tuple[str, ...]
    """The revisions that this MLflow knows, from the first to the newest."""
    store_fault: str = ""
    """Why a store that is there can't be read."""

    def can_become(self, later: Optional[str]) -> bool:
        """Whether this MLflow's migrations lead to a later revision."""
        return {self.revision, later} <= {*self.known} and self.known.index(
            self.revision
        ) < self.known.index(str(later))

    @property
    def is_refused(self) -> bool:
        """MLflow doesn't open a store that a newer one has opened."""
        return bool(self.mlflow and self.revision) and self.revision not in self.known


def schema_of(store: Path, python: Optional[Path]) -> StoreSchema:
    """What an interpreter's MLflow meets in a store."""
    revision, fault = "", ""
    try:
        if is_present(store, patience=PATIENCE):
            with usable(store), closing(connect_read_only(store)) as database:
                revision = revision_of(database) or ""
    except StoreError as error:
        fault = str(error)
    # Not resolved: the interpreter of a virtual environment is a link to one elsewhere.
    files = sorted(python.parent.parent.glob(_FILES)) if python else []
    packages = [folder for file in files[:1] for folder in file.parents[4].glob("mlflow*-info")]
    versions = [folder.stem.split("-")[1] for folder in packages]
    pairs = [_NAMES.findall(file.read_text("utf-8", "replace"))[:2] for file in files]
    after = {before: name for name, before in (pair for pair in pairs if len(pair) == 2)}
    known = [""]
    while known[-1] in after:
        known.append(after.pop(known[-1]))
    return StoreSchema(revision, versions[0] if versions else "", tuple(known[1:]), fault)


def revision_of(store: sqlite3.Connection) -> Optional[str]:
    row = store.execute("SELECT version_num FROM main.alembic_version").fetchone()
    return str(row[0]) if row else None
