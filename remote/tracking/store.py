"""An MLflow store as a SQLite file: is it one, how to open it, and how MLflow changes one.

What can't be read now (locked, damaged, closed to this account) is not taken for missing.
MLflow takes seconds to be imported, and may not be installed where this runs: it works in a process
of its own, under the interpreter that has it. All that goes wrong is a StoreError.
"""

from __future__ import annotations

import glob
import os
import shlex
import sqlite3
import stat
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Iterator, List, Mapping, Optional, Sequence, Set

from remote.errors import StoreError, UnusableStore
from remote.files import is_absent

#: Seconds that a process waits for a store which another program has locked (MLflow's own are 20),
#: and for one for which it has waited so long in vain.
BUSY_TIMEOUT, IMPATIENCE = 60.0, 0.5
_TABLES = {"alembic_version", "experiments", "runs", "tags", "params", "metrics"}

NO_MLFLOW = 77


NO_STORE = "isn't an MLflow store"

#: What is to be done, by what SQLite or the system says.
_STEPS = {
    "locked": "Another program holds it; try again when that has ended: fuser {0}",
    "malformed": "Put back a copy, or save what can be read (inv mlflow-check shows what is wrong):"
    ' sqlite3 {0} ".recover" | sqlite3 {0}.recovered',
    "full": "Make room on its disk.",
    "": "Check its owner, and that its disk is mounted: ls -l {0}",
}

_tried_in_vain: Set[Path] = set()


def is_store(store: Path, *, patience: Optional[float] = None) -> bool:
    """True for a SQLite file with MLflow's tables; a missing or foreign file is just False.

    Raises UnusableStore where that can't be told. `patience` is how many seconds may be waited for
    who has locked it.
    """
    try:
        if not stat.S_ISREG(os.stat(str(store)).st_mode):
            return False
        with closing(connect_read_only(store, patience)) as database:
            return set(tables_of(database)) >= _TABLES
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, sqlite3.Error) as error:
        if "not a database" in str(error):
            return False
        raise unusable(store, error) from error


def is_present(store: Path, *, patience: Optional[float] = None) -> bool:
    """Whether a store is where it should be: False only where nothing has its name.

    Raises UnusableStore for what can't be read now, and for anything else that has its name.
    """
    if is_store(store, patience=patience):
        return True
    try:
        if is_absent(store):
            return False
        target = os.readlink(str(store)) if store.is_symlink() and not store.exists() else ""
        empty = not target and store.is_file() and not store.stat().st_size
    except OSError as error:
        raise unusable(store, error) from error
    if target:
        raise UnusableStore(
            f"{store} is a link to {target}, which doesn't exist.", "Is that disk mounted?"
        )
    raise UnusableStore(
        f"{store} {'is empty (0 bytes)' if empty else NO_STORE}.",
        "Put back a copy, or move it away: a new one is made where there is none.",
    )


def connect_read_only(store: Path, patience: Optional[float] = None) -> sqlite3.Connection:
    seconds = patience_with(store) if patience is None else patience
    database = sqlite3.connect(reading_url(store, seconds), uri=True, timeout=seconds)
    database.text_factory = readable_text
    return database


def readable_text(data: bytes) -> str:
    """For `text_factory`: one value that is no UTF-8 makes nothing else unreadable."""
    return str(data, "utf-8", "backslashreplace")


def patience_with(store: Path) -> float:
    """How long to wait for who has locked a store: no command waits a minute twice."""
    return IMPATIENCE if store in _tried_in_vain else BUSY_TIMEOUT


def tables_of(database: sqlite3.Connection, schema_name: str = "main") -> List[str]:
    """The names of all tables; no views."""
    query = f"SELECT name FROM {schema_name}.sqlite_master WHERE type = 'table' ORDER BY name"
    return [name for (name,) in database.execute(query)]


def has_table(database: sqlite3.Connection, name: str, schema_name: str = "main") -> bool:
    """Stores of older MLflows lack some."""
    query = f"SELECT 1 FROM {schema_name}.sqlite_master WHERE type = 'table' AND name = ?"
    return database.execute(query, (name,)).fetchone() is not None


def quoted(name: str) -> str:
    """A name for a statement: what a store calls its tables and columns is anybody's."""
    return '"' + name.replace('"', '""') + '"'


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


def reading_url(store: Path, patience: Optional[float] = None) -> str:
    """A SQLite URL that opens the store for reading only, wherever SQLite can do that.

    What a killed writer left (a hot journal, a log without its index) must be cleared up first,
    for which SQLite needs to write.
    """
    url = Path(os.path.realpath(str(store))).as_uri()
    seconds = patience_with(store) if patience is None else patience
    try:
        with closing(sqlite3.connect(url + "?mode=ro", uri=True, timeout=seconds)) as database:
            database.execute("SELECT 1 FROM sqlite_master").fetchone()
        return url + "?mode=ro"
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise
        return url + "?mode=rw"


@contextmanager
def writing(store: Path) -> Iterator[sqlite3.Connection]:
    """One transaction that takes the write lock at once, so that it can't deadlock half way."""
    seconds = patience_with(store)
    with usable(store), closing(sqlite3.connect(str(store), timeout=seconds)) as database:
        database.isolation_level = None
        database.row_factory = sqlite3.Row
        database.execute("PRAGMA foreign_keys = ON")
        database.execute("BEGIN IMMEDIATE")
        yield database
        database.execute("COMMIT")


def drop_super_journals(store: Path) -> None:
    """Remove what a commit over several databases left when it was killed (`mlflow.db-mj…`).

    Within a transaction that writes: no other commit goes on. One that a journal still needs
    stays, since without it SQLite would take that journal's changes for committed
    (sqlite.org/atomiccommit.html, "Multi-file Commit").
    """
    for file in store.parent.glob(f"{glob.escape(store.name)}-mj*"):
        with suppress(OSError):
            journals = filter(None, file.read_bytes().split(b"\0"))
            if not any(map(_is_hot, journals)):
                file.unlink()


def _is_hot(journal: bytes) -> bool:
    """Whether SQLite would undo anything by a journal: it begins with a zero byte until the file that it
    is for is written to (pager.c, hasHotJournal)."""
    try:
        with open(journal, "rb") as file:
            return file.read(1).strip(b"\0") != b""
    except FileNotFoundError:
        return False


@contextmanager
def usable(store: Path) -> Iterator[None]:
    """UnusableStore for what is no store, and for what SQLite finds wrong with one."""
    refuse_foreign(store)
    try:
        yield
    except sqlite3.Error as error:
        raise unusable(store, error) from error


def refuse_foreign(store: Path) -> None:
    """sqlite3 would create a missing file."""
    if not is_store(store):
        raise StoreError(
            f"{store} {NO_STORE}.", "One is a file that MLflow made, such as mlflow.db."
        )


def unusable(store: Path, error: Exception) -> UnusableStore:
    """What SQLite, or the system, says of a store that it can't use, and what to do."""
    said = (isinstance(error, OSError) and error.strerror) or str(error)
    if "locked" in said:
        _tried_in_vain.add(store)
    step = next(step for word, step in _STEPS.items() if word in said)
    message = f"The MLflow store {store} can't be used: {said}"
    return UnusableStore(message, step.format(shlex.quote(str(store))))


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
        raise StoreError(
            f"{failure}: {''.join(last)}", f"Is its MLflow whole? {python} -m mlflow --version"
        )
    return True
