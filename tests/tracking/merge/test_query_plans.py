"""What a merge costs follows from what is new: it reads no table whole that grows with what is here."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pytest

from remote.tracking import delta, merge, schema

IDS = {kind: f"{number:032x}" for number, kind in enumerate(schema.KINDS, 1)}
IDS[schema.EXPERIMENT], IDS[schema.DATASET] = "1", "d"

GROWING = {(place, table.name) for place in ("main", "base") for table in schema.TABLES}
GROWING |= {("base", "entity")}
#: Few; and the keys of registered models begin with their workspace.
GROWING -= {
    (place, table.name)
    for place in ("main", "base")
    for table in schema.TABLES
    if table.owner == schema.REGISTERED_MODEL or table.name == "experiments"
}

#: Once, for a base that the index doesn't know.
NOTED = "INSERT OR IGNORE INTO owned SELECT "


class Scan(NamedTuple):
    """A table that a statement reads from one end on."""

    place: str
    table: str
    statement: str


class Explained(sqlite3.Connection):
    """Notes what the merge's statements would scan, before they are run."""

    scans: list[Scan] = []

    def execute(self, query: str, *values: Any) -> sqlite3.Cursor:  # type: ignore[override]
        self._explain(query, *values)
        return super().execute(query, *values)

    def executemany(self, query: str, rows: Any) -> sqlite3.Cursor:  # type: ignore[override]
        rows = list(rows)
        for first in rows[:1]:
            self._explain(query, first)
        return super().executemany(query, rows)

    def _explain(self, query: str, *values: Any) -> None:
        """A scan is a cursor that is set to one end of a table or an index, and moved on."""
        if not query.startswith(("SELECT", "INSERT", "UPDATE", "DELETE", "CREATE TEMP TABLE")):
            return
        steps = super().execute(f"EXPLAIN {query}", *values).fetchall()
        set_to_end = {row[2] for row in steps if row[1] in ("Rewind", "Last")}
        scanning = {row[2] for row in steps if row[1] in ("Next", "Prev")} & set_to_end
        for _, step, cursor, page, place, *_ in steps:
            if step in ("OpenRead", "OpenWrite") and cursor in scanning:
                self.scans.append(Scan(*self._table(place, page), query))

    def _table(self, place: int, page: int) -> tuple[str, str]:
        """The schema and the table whose rows or index begin on a page."""
        names = {row[0]: row[1] for row in super().execute("PRAGMA database_list").fetchall()}
        query = f"SELECT tbl_name FROM {names[place]}.sqlite_master WHERE rootpage = ?"
        row = super().execute(query, (page,)).fetchone()
        return names[place], row[0] if row else ""


@pytest.fixture
def scans() -> Iterator[list[Scan]]:
    connect = functools.partial(sqlite3.connect, factory=Explained)
    with mock.patch.object(sqlite3, "connect", connect):
        yield Explained.scans
    Explained.scans = []


def fill(store: Path, mlruns: Path) -> None:
    """A row in every table that is merged."""
    with closing(sqlite3.connect(store)) as database, database:
        for table in schema.TABLES:
            columns = database.execute(f'PRAGMA table_info("{table.name}")').fetchall()
            row = {
                name: 1 if kind in ("INTEGER", "BIGINT", "FLOAT", "BOOLEAN") else "x"
                for _, name, kind, notnull, _, in_key in columns
                if notnull or in_key
            }
            row.update(_references(table, mlruns))
            names, marks = ", ".join(f'"{name}"' for name in row), ", ".join("?" * len(row))
            query = f'INSERT OR IGNORE INTO "{table.name}" ({names}) VALUES ({marks})'
            database.execute(query, tuple(row.values()))


def _references(table: schema.Table, mlruns: Path) -> Iterator[tuple[str, object]]:
    """What a row hangs on, and where its artifacts are."""
    for column, kind in {table.owner_column: table.owner, **table.links}.items():
        if kind:
            yield column, IDS[kind]
    if table.name in schema.ENDS:
        name, kind = next(iter(schema.ENDS[table.name].items()))
        for end in ("source", "destination"):
            yield from ((f"{end}_type", name), (f"{end}_id", IDS[kind]))
    if table.path:
        folder = schema.KINDS[table.owner].folder
        place = "1" if folder is None else f"1/{folder}{IDS[table.owner]}/artifacts"
        yield table.path, f"{mlruns}/{place}"
    if table.path_keys:
        yield "key", table.path_keys[0]


def test_no_statement_of_a_merge_scans_what_grows_with_the_history(
    world: Any, scans: list[Scan]
) -> None:
    fill(world.far.store, world.far.mlruns)
    file = world.folder / "all.delta"
    delta.write(world.far.store, file, {}, registry=True)
    scans.clear()
    merged = [_merged(world, file, agreed) for agreed in (None, True)]
    assert [one.refused for one in merged] == [(), ()] and merged[0].metric_rows == 1
    assert {scan.place for scan in scans} >= {"delta", "temp"}
    assert [scan.statement[: len(NOTED)] for scan in growing(scans)] == [NOTED]


def test_of_a_base_that_was_noted_nothing_is_scanned(world: Any, scans: list[Scan]) -> None:
    world.far.run(world.far.experiment("digits"))
    world.pull()
    world.far.log(world.far.run("1"), range(5, 9))
    file = world.delta()
    scans.clear()
    assert world.apply(file).metric_rows == 7 and scans
    assert growing(scans) == []


def growing(scans: list[Scan]) -> list[Scan]:
    """Of tables that grow with what is here; no looks at a last row."""
    return [
        scan
        for scan in scans
        if scan[:2] in GROWING and not scan.statement.startswith("SELECT coalesce(max(rowid), 0) ")
    ]


def _merged(world: Any, file: Path, agreed: bool | None) -> merge.MergeSummary:
    return merge.merge(
        file,
        store=world.here.store,
        artifact_root=world.here.mlruns,
        base=world.base(),
        source="far",
        agreed=agreed,
    )
