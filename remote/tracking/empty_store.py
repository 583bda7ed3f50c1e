"""Makes a missing store: as MLflow makes one, the first time; after that as a copy of it.

MLflow's migrations take it five seconds and more, and end in the same tables each time. So the first
empty store of a version of MLflow is kept, named by its own digest, in this account's cache. Where a
job's environment has no MLflow, a kept one will do: that of another, or one that the laptop brought.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Iterator, Mapping, Optional

from remote.errors import StoreError
from remote.files import locked, remove_left, sha256, write_atomic
from remote.job.paths import CACHE
from remote.tracking import schema
from remote.tracking.revisions import schema_of
from remote.tracking.store import columns_of, connect_read_only, is_present, run_mlflow

_CREATE = """
import sys
try:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
except ModuleNotFoundError as error:
    # mlflow-skinny has no database.
    sys.exit(77 if error.name in ("mlflow", "sqlalchemy", "alembic") else str(error))
SqlAlchemyStore("sqlite:///" + sys.argv[1], sys.argv[2])
"""

#: Where they are kept, below the toolkit's folder in the home.
KEPT = "stores"

#: A version in development may change its tables and keep its name.
_RELEASE = re.compile(r"[0-9]+(\.[0-9]+)+(rc[0-9]+)?")


def ensure_store(store: Path, artifact_root: Path, python: str = sys.executable) -> None:
    """Make the laptop's own store where it is missing.

    The Default experiment's artifacts are at `<artifact_root>/0`.
    """
    lock = Path(f"{store}.lock")
    if not create_store(store, artifact_root, python=python, env=os.environ, lock=lock):
        raise StoreError(
            f"{store} couldn't be created: {python} has no mlflow.",
            "Install it: make install, or pip install mlflow",
        )


def create_store(
    store: Path, artifact_root: Path, *, python: str, env: Mapping[str, str], lock: Path
) -> bool:
    """Make a missing store with the MLflow of `python`, else as a copy of one that is kept; False where
    neither is there.

    Whoever else wants the store waits for `lock`. It is made beside that (always on the same disk)
    and put into its place when it is whole: nobody meets half of one. Another file in its place is
    refused: what can't be read as a store may be a damaged one, and isn't replaced.
    """
    if is_present(store):
        return True
    store.parent.mkdir(parents=True, exist_ok=True)
    with locked(lock):
        if is_present(store):
            return True
        try:
            return _create(store, artifact_root, python, env, lock.parent)
        except OSError as error:
            raise StoreError(
                f"{store} couldn't be created with {python}: {error}",
                "Check who owns its folder, and the free space.",
            ) from error


def kept() -> Iterator[Path]:
    """The empty stores that are kept here, the newest first."""
    with contextlib.suppress(OSError, sqlite3.Error):
        files = (Path.home() / CACHE / KEPT).glob("*.db")
        for file in sorted(files, key=lambda file: file.stat().st_mtime, reverse=True):
            # The digest proves it empty: it was taken when MLflow had just made the file.
            if file.stem.endswith(f"-{sha256(file)}") and _location(file):
                yield file


def made_here() -> Path:
    """One that the MLflow of this Python makes, kept from then on; raises StoreError."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        ensure_store(Path(folder) / "mlflow.db", Path(folder) / "mlruns")
        template = _Template(Path(sys.executable), folder).file()
    if template is None:
        raise StoreError(
            "No empty MLflow store could be kept here.",
            f"May you write there? ls -ld ~/{CACHE}/{KEPT}",
        )
    return template


def _create(
    store: Path, artifact_root: Path, python: str, env: Mapping[str, str], folder: Path
) -> bool:
    # Most who open a store make none, and start faster without.
    import tempfile

    remove_left(folder, ".mlflow-new-*")
    with tempfile.TemporaryDirectory(dir=str(folder), prefix=".mlflow-new-") as temporary:
        new = Path(temporary) / "mlflow.db"
        template = _Template(Path(python), os.path.abspath(str(artifact_root)))
        if not template.copy(new):
            # A bare name: nothing in it needs quoting in a database's address.
            argv = ["-c", _CREATE, new.name, template.artifact_root]
            failure = f"mlflow couldn't create {store}"
            if run_mlflow(python, argv, cwd=new.parent, env=env, failure=failure):
                template.keep(new)
            elif not template.copy(new, other=True):
                return False
        os.replace(str(new), str(store))
        return True


class _Template:
    """The empty store that the MLflow of `python` made here before, if it did."""

    def __init__(self, python: Path, artifact_root: str) -> None:
        self.artifact_root = artifact_root
        self._folder = Path.home() / CACHE / KEPT
        schema = schema_of(Path(os.devnull), python)
        head = schema.known[-1] if schema.known else ""
        is_release = _RELEASE.fullmatch(schema.mlflow)
        self._name = f"{schema.mlflow}-{head}-" if is_release and head else ""

    def file(self, *, other: bool = False) -> Optional[Path]:
        """The one of this MLflow, or of any `other`; None where there is none."""
        if not (self._name or other):
            return None
        return next((file for file in kept() if other or file.name.startswith(self._name)), None)

    def copy(self, new: Path, *, other: bool = False) -> bool:
        """Make `new` a copy for another folder of artifacts; False where there is nothing fit."""
        with contextlib.suppress(OSError, sqlite3.Error):
            file = self.file(other=other)
            if file is not None:
                shutil.copyfile(str(file), str(new))
                _move(new, self.artifact_root)
                return True
        return False

    def keep(self, new: Path) -> None:
        """Keep what MLflow has just made, unless it names its folder of artifacts in another way."""
        with contextlib.suppress(OSError, sqlite3.Error):
            if self._name and _location(new) == f"{self.artifact_root}/0":
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                file = self._folder / f"{self._name}{sha256(new)}.db"
                write_atomic(file, new.read_bytes(), mode=0o600)


def _location(store: Path) -> Optional[str]:
    """Where the one experiment of an empty store keeps its artifacts."""
    with closing(connect_read_only(store)) as database:
        rows = database.execute("SELECT artifact_location FROM experiments").fetchall()
    return str(rows[0][0]) if len(rows) == 1 else None


def _move(store: Path, artifact_root: str) -> None:
    """Have the experiment begin now and elsewhere."""
    now = _now()
    with closing(sqlite3.connect(str(store))) as database, database:
        database.execute(
            "UPDATE experiments SET artifact_location = ?, creation_time = ?, last_update_time = ?",
            (f"{artifact_root}/0", now, now),
        )


def empty_like(source: Path, store: Path) -> None:
    """Make an empty store of the same schema as another; raises FileExistsError where there is one by
    now."""
    new = store.with_name(f".mlflow-new-{os.urandom(8).hex()}")
    try:
        with closing(connect_read_only(source)) as old, closing(sqlite3.connect(str(new))) as copy:
            old.backup(copy)
            with copy:
                for table in (table.name for table in schema.TABLES):
                    if columns_of(copy, "main", table):
                        # MLflow's own experiment, which is in every store.
                        kept = " WHERE experiment_id != 0" if table == "experiments" else ""
                        copy.execute(f'DELETE FROM "{table}"{kept}')
                # By the time it is told that it isn't the other, nor another one that was made so.
                copy.execute("UPDATE experiments SET creation_time = ?", (_now(),))
        os.link(str(new), str(store))
    finally:
        new.unlink()


def _now() -> int:
    return round(time.time() * 1000)
