"""An MLflow store as a SQLite file: is it one, how to open it, and how MLflow changes one.

MLflow takes seconds to be imported, and may not be installed where this runs: it works in a process
of its own, under the interpreter that has it. All that goes wrong is a StoreError.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Iterator, List, Mapping, Sequence

from remote.errors import StoreError

BUSY_TIMEOUT = 60.0  # seconds; MLflow's own is 20
_TABLES = {"alembic_version", "experiments", "runs", "tags", "params", "metrics"}

NO_MLFLOW = 77


def is_store(store: Path) -> bool:
    """True for a SQLite file with MLflow's tables; a missing or foreign file is just False."""
    if not store.is_file():
        return False
    try:
        with closing(connect_read_only(store)) as database:
            rows = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            return {name for (name,) in rows} >= _TABLES
    except sqlite3.DatabaseError:
        return False


def connect_read_only(store: Path) -> sqlite3.Connection:
    return sqlite3.connect(reading_url(store), uri=True, timeout=BUSY_TIMEOUT)


def has_table(database: sqlite3.Connection, name: str, schema_name: str = "main") -> bool:
    """Stores of older MLflows lack some."""
    query = f"SELECT 1 FROM {schema_name}.sqlite_master WHERE type = 'table' AND name = ?"
    return database.execute(query, (name,)).fetchone() is not None


def columns_of(
    database: sqlite3.Connection, schema_name: str, table: str, *, computed: bool = False
) -> List[str]:
    """The names of a table's columns; none for a table that isn't there (a view isn't a table).

    Those that the database computes from others are left out, unless asked for.
    """
    if not has_table(database, table, schema_name):
        return []
    pragma = "table_xinfo" if computed else "table_info"
    return [row[1] for row in database.execute(f'PRAGMA {schema_name}.{pragma}("{table}")')]


def reading_url(store: Path) -> str:
    """A SQLite URL that opens the store for reading only, wherever SQLite can do that.

    What a killed writer left (a hot journal, a log without its index) must be cleared up first,
    for which SQLite needs to write.
    """
    url = store.resolve().as_uri()
    try:
        with closing(sqlite3.connect(url + "?mode=ro", uri=True, timeout=BUSY_TIMEOUT)) as database:
            database.execute("SELECT 1 FROM sqlite_master").fetchone()
        return url + "?mode=ro"
    except sqlite3.OperationalError:
        return url + "?mode=rw"


@contextmanager
def writing(store: Path) -> Iterator[sqlite3.Connection]:
    """One transaction that takes the write lock at once, so that it can't deadlock half way."""
    with usable(store), closing(sqlite3.connect(str(store), timeout=BUSY_TIMEOUT)) as database:
        database.isolation_level = None
        database.row_factory = sqlite3.Row
        database.execute("PRAGMA foreign_keys = ON")
        database.execute("BEGIN IMMEDIATE")
        yield database
        database.execute("COMMIT")


@contextmanager
def usable(store: Path) -> Iterator[None]:
    """StoreError for what is no store, and for what SQLite finds wrong with one."""
    refuse_foreign(store)
    try:
        yield
    except sqlite3.Error as error:
        raise unusable(store, error) from error


def refuse_foreign(store: Path) -> None:
    """sqlite3 would create a missing file."""
    if not is_store(store):
        raise StoreError(f"{store} isn't an MLflow store.")


def unusable(store: Path, error: sqlite3.Error) -> StoreError:
    return StoreError(f"The MLflow store {store} can't be used: {error}")


def run_mlflow(
    python: str, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], failure: str
) -> bool:
    """Run a program that makes the store mlflow.db in `cwd`; False where `python` has no MLflow.

    Raises StoreError, which begins with `failure`.
    """
    import subprocess

    done = subprocess.run(
        [python, *argv],
        cwd=str(cwd),
        # What MLflow is told of other stores is no business of this one.
        env={name: value for name, value in env.items() if "MLFLOW_" not in name},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    if done.returncode == NO_MLFLOW:
        return False
    if done.returncode or not is_store(cwd / "mlflow.db"):
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise StoreError(f"{failure}: {''.join(last)}", python)
    return True
