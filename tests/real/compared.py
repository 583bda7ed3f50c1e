"""The first witness: do two stores hold the same records, by plain SQL?

It knows nothing of the toolkit's table of tables: whatever table has rows is compared. What differs
from store to store is put in other words first: the numbers of experiments, the ids of data sets, and
the folder that the artifacts are in.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NOT_RECORDS = {"alembic_version", "workspaces", "sqlite_sequence"}

#: Columns that say where artifacts are; of `trace_tags` those rows that do.
PATHS = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
    "trace_tags": ("value",),
}

Row = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Difference:
    table: str
    lacking: list[Row]
    doubled_or_strange: list[Row]


@dataclass(frozen=True)
class Records:
    """All rows of a store; `root` is the folder that holds its `mlruns`."""

    store: Path
    root: Path

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """The tables that have rows."""
        with contextlib.closing(sqlite3.connect(self.store, timeout=60)) as database:
            database.row_factory = sqlite3.Row
            names = "SELECT name FROM sqlite_master WHERE type = 'table'"
            raw = {
                name: [dict(row) for row in database.execute(f'SELECT * FROM "{name}"')]
                for (name,) in database.execute(names).fetchall()
                if name not in NOT_RECORDS
            }
        words = self._words(raw)
        return {
            name: [self._said(name, row, words) for row in found]
            for name, found in raw.items()
            if found
        }

    def _words(self, raw: dict[str, list[dict[str, Any]]]) -> dict[str, str]:
        """What to say instead of a number or an id that means something in this store alone."""
        said = {str(row["experiment_id"]): row["name"] for row in raw["experiments"]}
        for row in raw["datasets"]:
            where = said[str(row["experiment_id"])]
            said[row["dataset_uuid"]] = f"{where}/{row['name']}/{row['digest']}"
        return said

    def _said(self, table: str, row: dict[str, Any], words: dict[str, str]) -> dict[str, Any]:
        new = dict(row)
        for column in ("experiment_id", "dataset_uuid", "source_id", "destination_id"):
            if column in row:
                new[column] = words.get(str(row[column]), row[column])
        for column in PATHS.get(table, ()):
            if isinstance(row.get(column), str):
                new[column] = self._place(row[column], words)
        if table == "experiments" and row["name"] == "Default":
            new["creation_time"] = new["last_update_time"] = None
        return new

    def _place(self, path: str, words: dict[str, str]) -> str:
        below = path[len("file://") :] if path.startswith("file://") else path
        start = f"{self.root}/mlruns/"
        if not below.startswith(start):
            return path
        number, *rest = below[len(start) :].split("/")
        return "/".join(["<mlruns>", words.get(number, number), *rest])


def differences(
    theirs: Records, ours: Records, *, without: tuple[str, ...] = ()
) -> list[Difference]:
    """By the columns that both have; `without` are tables that need not be here."""
    found = []
    there, here = theirs.tables(), ours.tables()
    for table in sorted({*there, *here} - set(without)):
        both = _columns(there.get(table)) & _columns(here.get(table))
        wanted = _counted(there.get(table, []), both)
        have = _counted(here.get(table, []), both)
        if wanted != have:
            found.append(
                Difference(
                    table, list((wanted - have).elements()), list((have - wanted).elements())
                )
            )
    return found


def _columns(found: list[dict[str, Any]] | None) -> set[str]:
    return set(found[0]) if found else set()


def _counted(found: list[dict[str, Any]], columns: set[str]) -> Counter[Row]:
    return Counter(tuple(sorted((name, row[name]) for name in columns)) for row in found)
