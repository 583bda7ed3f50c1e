"""Creates the local store where it is missing: the one thing that needs mlflow, as a process."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

from remote.errors import StoreError
from remote.tracking.store import is_store

_CREATE = (
    "import sys; from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore;"
    " SqlAlchemyStore('sqlite:///' + sys.argv[1], sys.argv[2])"
)


def ensure_store(store: Path, artifact_root: Path, python: str = sys.executable) -> None:
    """Creates a missing store with the mlflow of `python`.

    The Default experiment's artifacts are at `<artifact_root>/0`.
    """
    if is_store(store):
        return
    store.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{store}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_store(store):
            _create(store, artifact_root, python)


def _create(store: Path, artifact_root: Path, python: str) -> None:
    """Under the lock: a new store at a temporary name, then renamed."""
    if store.exists():
        raise StoreError(
            f"{store} isn't an MLflow store.", "Move it away, and a new one is created."
        )
    # A bare name in the store's own folder: nothing in it needs quoting in a database URL.
    name = f"mlflow-new-{os.getpid()}-{time.time_ns()}.db"
    new = store.parent / name
    clean = {key: os.environ[key] for key in os.environ if "MLFLOW_" not in key}
    argv = [python, "-c", _CREATE, name, os.path.abspath(artifact_root)]
    try:
        made = subprocess.run(
            argv, cwd=store.parent, env=clean, stdin=subprocess.DEVNULL, capture_output=True
        )
        if made.returncode != 0 or not is_store(new):
            last = made.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise StoreError(f"mlflow couldn't create {store}: {''.join(last)}", " ".join(argv[:1]))
        os.replace(new, store)
    except OSError as error:
        raise StoreError(f"{store} couldn't be created with {python}: {error}") from error
    finally:
        for left in store.parent.glob(name + "*"):
            left.unlink()
