"""A merge alone, and the bare statements that put the same rows into the same tables; and a bare
reading of a file store's metrics.

`python -m bench.bare merge|insert DELTA STORE` and `… read MLRUNS` print the seconds that it took.
"""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from remote.tracking import merge
from remote.tracking.store import columns_of

TABLES = ("experiments", "runs", "params", "tags", "latest_metrics", "metrics")


def merged(delta: Path, store: Path) -> float:
    """Seconds of the first merge of a delta."""
    root, base = store.parent / "mlruns", store.parent / ".remote" / "far.db"
    start = time.perf_counter()
    merge.merge(delta, store=store, artifact_root=root, base=base, source="far")
    return time.perf_counter() - start


def inserted(delta: Path, store: Path) -> float:
    """Seconds of one transaction that inserts each table in the order of its primary key."""
    with closing(sqlite3.connect(store, isolation_level=None)) as database:
        database.execute("PRAGMA cache_size = -98304")  # KiB, as the merge has it
        database.execute("ATTACH ? AS delta", (str(delta),))
        start = time.perf_counter()
        database.execute("BEGIN IMMEDIATE")
        for table in TABLES:
            database.execute(_insert(database, table))
        database.execute("COMMIT")
        return time.perf_counter() - start


def _insert(database: sqlite3.Connection, table: str) -> str:
    theirs = columns_of(database, "delta", table)
    names = ", ".join(f'"{name}"' for name in columns_of(database, "main", table) if name in theirs)
    info = database.execute(f'PRAGMA main.table_info("{table}")')
    key = sorted((place, name) for _, name, *_, place in info if place)
    order = ", ".join(f'"{name}"' for _, name in key)
    # The experiments of both stores have the same numbers; the merge gives them new ones.
    return (
        f'INSERT OR IGNORE INTO main."{table}" ({names})'
        f' SELECT {names} FROM delta."{table}" ORDER BY {order}'
    )


def read(mlruns: Path) -> float:
    """Seconds in which Python makes numbers of all points, and does nothing with them."""
    start = time.perf_counter()
    for file in mlruns.glob("*/*/metrics/*"):
        parts = file.read_text().split()
        numbers = list(map(int, parts[0::3])), list(map(float, parts[1::3]))
        assert len(list(map(int, parts[2::3]))) == len(numbers[0]) == len(numbers[1])
    return time.perf_counter() - start


if __name__ == "__main__":
    WAYS: dict[str, Callable[..., float]] = {"merge": merged, "insert": inserted, "read": read}
    print(WAYS[sys.argv[1]](*map(Path, sys.argv[2:])))
