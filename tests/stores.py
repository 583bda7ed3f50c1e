"""MLflow's empty store, made once by the real MLflow and copied from then on.

MLflow takes four seconds to import and two to make its tables; dozens of tests start with a store.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

from remote.files import locked
from remote.tracking.empty_store import ensure_store

#: Kept between runs of the tests, and shared by all of pytest-xdist's workers.
CACHE = Path(__file__).parents[1] / ".demo" / "mlflow"


def empty_store(folder: Path) -> Path:
    """`folder`/mlflow.db as the project's MLflow makes it, with artifacts below `folder`/mlruns."""
    folder.mkdir(parents=True, exist_ok=True)
    store = folder / "mlflow.db"
    shutil.copy(_cached(), store)
    with closing(sqlite3.connect(store)) as database, database:
        location = str(folder / "mlruns" / "0")
        database.execute("UPDATE experiments SET artifact_location = ?", (location,))
    return store


def _cached() -> Path:
    folder = CACHE / version("mlflow")
    with locked(folder / "lock"):
        ensure_store(folder / "mlflow.db", folder / "mlruns")
    return folder / "mlflow.db"
