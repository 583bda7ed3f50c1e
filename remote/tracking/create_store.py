"""Have MLflow make an empty store, whole or not at all: on the laptop, and for the jobs of a target.

MLflow takes seconds to be imported, and may not be installed where this runs: it works in a process
of its own, under the interpreter that has it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Mapping, Optional

from remote.errors import StoreError
from remote.files import locked
from remote.tracking.store import is_store

_NO_MLFLOW = 77
_CREATE = """
import sys
try:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
except ModuleNotFoundError as error:
    sys.exit(77 if error.name == "mlflow" else str(error))
SqlAlchemyStore("sqlite:///" + sys.argv[1], sys.argv[2])
"""


def ensure_store(store: Path, artifact_root: Path, python: str = sys.executable) -> None:
    """Make the laptop's own store where it is missing; raises StoreError.

    The Default experiment's artifacts are at `<artifact_root>/0`.
    """
    lock = Path(f"{store}.lock")
    if not create_store(store, artifact_root, python=python, env=os.environ, lock=lock):
        raise StoreError(f"{store} couldn't be created: {python} has no mlflow.", "make install")


def create_store(
    store: Path,
    artifact_root: Path,
    *,
    python: str,
    env: Mapping[str, str],
    lock: Path,
    folder: Optional[Path] = None,
) -> bool:
    """Make a missing store with the MLflow of `python`; False where that has none.

    Whoever else wants the store waits for `lock`. It is made in `folder` (by default the store's
    own, and always on the same disk) and put into its place when it is whole: nobody meets half of
    one. Raises StoreError where MLflow fails, and where another file is in its place: what can't
    be read as a store may be a damaged one, and isn't replaced.
    """
    if is_store(store):
        return True
    store.parent.mkdir(parents=True, exist_ok=True)
    with locked(lock):
        if is_store(store):
            return True
        if store.exists():
            raise StoreError(
                f"{store} isn't an MLflow store.", "Move it away, and a new one is created."
            )
        try:
            return _create(store, artifact_root, python, env, folder or store.parent)
        except OSError as error:
            raise StoreError(f"{store} couldn't be created with {python}: {error}") from error


def _create(
    store: Path, artifact_root: Path, python: str, env: Mapping[str, str], folder: Path
) -> bool:
    with tempfile.TemporaryDirectory(dir=str(folder), prefix=".mlflow-new-") as temporary:
        new = Path(temporary) / "mlflow.db"
        done = subprocess.run(
            # A bare name: nothing in it needs quoting in a database's address.
            [python, "-c", _CREATE, new.name, os.path.abspath(str(artifact_root))],
            cwd=temporary,
            # What MLflow is told of other stores is no business of this one.
            env={name: value for name, value in env.items() if "MLFLOW_" not in name},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        if done.returncode == _NO_MLFLOW:
            return False
        if done.returncode or not is_store(new):
            last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise StoreError(f"mlflow couldn't create {store}: {''.join(last)}", python)
        os.replace(str(new), str(store))
        return True
