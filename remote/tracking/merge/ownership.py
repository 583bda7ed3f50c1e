"""Whose a record is: a source may change what came from it, or was given to it, and nothing else.

Ids are no secret. What is here, and was neither pulled from a source nor given to it, isn't that
source's, though it has a record of the same id. Of one source are the stores of one target, and a
store under another path, known by its experiments. `owned.db`, beside the bases, remembers what was
whose, for the time when a base and its copy are lost.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Iterable, Iterator, Tuple

from remote.tracking import schema
from remote.tracking.merge import base as bases

INDEX = "owned.db"
_TABLE = (
    "CREATE TABLE IF NOT EXISTS owned (key TEXT, kind TEXT, id, PRIMARY KEY (key, kind, id))"
    " WITHOUT ROWID"
)
UNNOTED = "unnoted"
"""What a base calls it that it tells of something which the index lacks."""
_SHARED = (schema.EXPERIMENT, schema.REGISTERED_MODEL)
"""What goes by its name: both sides mean the same by it."""


def has_owner(kind: str) -> bool:
    return kind not in _SHARED


def owned_by(base: Path, delta: Path) -> Iterator[Tuple[str, object]]:
    """(kind, id) of all that ever came from, or went to, the source of a delta."""
    with suppress(sqlite3.DatabaseError), closing(_index(base, mode="ro")) as index:
        yield from index.execute("SELECT kind, id FROM owned WHERE key = ?", (_key(base),))
    for other in sorted(base.parent.glob(f"*{base.suffix}")):
        if other.name == INDEX or other == base:
            continue
        with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(str(other))) as database:
            if _key(other) == _key(base) or bases.is_of(other, delta):
                yield from database.execute("SELECT kind, id FROM entity")


def remember(base: Path, kind: str, ids: Iterable[object]) -> bool:
    """Note what belongs to the source of a base from now on; False where that can't be done.

    Before it is merged or given: a store in WAL mode may have it while the base hasn't yet.
    """
    # It only matters where the base doesn't tell.
    with suppress(sqlite3.DatabaseError), closing(_index(base)) as index, index:
        rows = ((_key(base), kind, identity) for identity in ids)
        index.executemany("INSERT OR IGNORE INTO owned VALUES (?, ?, ?)", rows)
        return True
    return False


def remember_base(base: Path) -> None:
    """Note all that a base tells of, once, and again where it says that something wasn't noted: it may
    be older than the index, or the index was lost."""
    # No record is of this kind.
    noted = (_key(base), "base", base.name)
    with suppress(sqlite3.DatabaseError), closing(_index(base)) as index, index:
        bases.attach(index, base)
        query = "SELECT 1 FROM owned WHERE (key, kind, id) = (?, ?, ?)"
        if index.execute(query, noted).fetchone() and not bases.get(index, UNNOTED):
            return
        index.execute(
            "INSERT OR IGNORE INTO owned SELECT ?, kind, id FROM base.entity"
            f" WHERE kind NOT IN {_SHARED}",
            (_key(base),),
        )
        index.execute("INSERT OR IGNORE INTO owned VALUES (?, ?, ?)", noted)
        bases.put(index, UNNOTED, None)


def _index(base: Path, mode: str = "rwc") -> sqlite3.Connection:
    base.parent.mkdir(parents=True, exist_ok=True)
    url = f"{base.with_name(INDEX).resolve().as_uri()}?mode={mode}"
    database = sqlite3.connect(url, uri=True, timeout=60)
    if mode != "ro":
        database.execute(_TABLE)
    return database


def _key(base: Path) -> str:
    """What the names of all bases of one target begin with."""
    return base.name.partition(".")[0]
