"""Blocks of rows spare signatures, and change nothing of what a delta says."""

from __future__ import annotations

import itertools
import json
import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from remote.tracking import delta, row_blocks, schema
from remote.tracking.row_blocks import compare
from tests.stores import empty_store

TAGS = schema.table_of("tags")


@pytest.fixture(params=["VARCHAR(8000)", "TEXT"])
def database(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[sqlite3.Connection]:
    """A store with a table of ten rows, four in each block, of three owners in turn."""
    monkeypatch.setattr(row_blocks, "SIZE", 4)
    monkeypatch.setattr(row_blocks, "_AT_ONCE", 3)
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as made:
        made.execute("ATTACH ':memory:' AS store")
        columns = f"key VARCHAR(250), value {request.param}, run_uuid VARCHAR(32)"
        made.execute(f"CREATE TABLE store.tags ({columns})")
        made.execute("CREATE TEMP TABLE suspect (id PRIMARY KEY) WITHOUT ROWID")
        rows = [(f"k{number}", "v", f"r{number % 3}") for number in range(1, 11)]
        made.executemany("INSERT INTO store.tags VALUES (?, ?, ?)", rows)
        yield made


@pytest.mark.parametrize(
    "change, suspects",
    [
        ("SELECT 1", ""),
        ("UPDATE store.tags SET rowid = rowid + 1 WHERE key = 'k10'", ""),
        ("UPDATE store.tags SET value = 'w' WHERE key = 'k1'", "r0 r1 r2"),
        ("UPDATE store.tags SET value = CAST('v' AS BLOB) WHERE key = 'k10'", "r0 r1 r2"),
        ("INSERT INTO store.tags VALUES ('new', 'v', 'r7')", "r0 r1 r2 r7"),
        ("INSERT INTO store.tags (rowid, run_uuid) VALUES (9000, 'r7')", "r7"),
        ("INSERT INTO store.tags (rowid, run_uuid) VALUES (-9000, 'r7')", "r7"),
        ("INSERT INTO store.tags (rowid, run_uuid) VALUES (9223372036854775807, 'r7')", "r7"),
        ("INSERT INTO store.tags (rowid, run_uuid) VALUES (-9223372036854775808, 'r7')", "r7"),
        ("INSERT INTO store.tags VALUES ('k', CAST(x'FF' AS TEXT), 'r7')", "r0 r1 r2 r7"),
        ("ALTER TABLE store.tags ADD COLUMN more", "r0 r1 r2"),
    ],
)
def test_who_has_a_row_in_a_block_that_differs_may_have_changed(
    database: sqlite3.Connection, change: str, suspects: str
) -> None:
    before = compare(database, TAGS, {})
    database.execute(change)
    assert not before.is_told and compare(database, TAGS, before.blocks).is_told
    found = database.execute("SELECT id FROM temp.suspect ORDER BY id").fetchall()
    assert [owner for (owner,) in found] == suspects.split()


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM store.tags WHERE key = 'k1'",
        "DELETE FROM store.tags WHERE key >= 'k4'",
        "DELETE FROM store.tags WHERE rowid BETWEEN 4 AND 7",
        "UPDATE store.tags SET run_uuid = 'r7' WHERE key = 'k1'",
        "DELETE FROM store.tags WHERE key = 'k10'; INSERT INTO store.tags VALUES ('k', 'v', 'r0')",
    ],
)
def test_nothing_is_told_where_a_row_may_have_been_anothers(
    database: sqlite3.Connection, change: str
) -> None:
    before = compare(database, TAGS, {})
    database.executescript(change)
    assert not compare(database, TAGS, before.blocks).is_told


NOTHING_ALIKE = [
    *(
        None,
        "",
        "a",
        b"",
        b"a",
        b"\xff",
        "NULL",
        "null",
        "a,b",
        '"',
        "\\",
        "\n",
        "é",
        "x'61'",
        "1:a",
    ),
    *("a\0b", "a\0c", "\0", 0, 1, -1, "1", " 1", "1.0", "1.5", 1.5, 1.25, 1e300, 1e-300),
    *(0.3, 0.1 + 0.2, 1.0, 1234567890123456.0, 1234567890123457.0, 2**53, 2.0**53, 2**53 + 1),
    *(2**63 - 1, 2.0**63, -(2**63), float("inf"), float("-inf"), 1e17 + 16, 1e17 + 32),
]


@pytest.mark.parametrize("has_json", [True, False])
@pytest.mark.parametrize("kind", ["VARCHAR(9)", "TEXT", "BIGINT", "BOOLEAN", "FLOAT", "JSON", ""])
def test_values_that_differ_have_hashes_that_differ(
    kind: str, has_json: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As SQLite keeps them: a column's type makes some into others."""
    if not has_json:
        columns = row_blocks._Rows._columns
        monkeypatch.setattr(
            row_blocks._Rows, "_columns", lambda *of: ("no_such_function()", columns(*of)[1])
        )
    hashes: dict[str, Any] = {}
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
        database.execute("ATTACH ':memory:' AS store")
        database.execute(f"CREATE TABLE store.tags (run_uuid VARCHAR(32), a {kind}, b {kind})")
        for a, b in itertools.product(NOTHING_ALIKE, [None, "", "a", "1:a", 1, 1.5]):
            database.execute("DELETE FROM store.tags")
            database.execute("INSERT INTO store.tags VALUES ('r', ?, ?)", (a, b))
            query = (
                "SELECT typeof(a), hex(a), quote(a), typeof(b), hex(b), quote(b) FROM store.tags"
            )
            kept = database.execute(query).fetchone()
            blocks = compare(database, TAGS, {}).blocks["blocks"]
            assert hashes.setdefault(str(blocks), kept) == kept
    assert len(hashes) == len(set(hashes.values())) > 100


class Store:
    """A store in which anything may happen to its rows."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.file, self.random, self.runs = empty_store(folder), random.Random(seed), 0
        self.backup = folder / "backup.db"
        self.back_up()

    def back_up(self) -> None:
        shutil.copy(self.file, self.backup)

    def change(self) -> None:
        """One of all the things that happen."""
        names = ("add", "add", "tag", "tag", "untag", "edit", "remove", "renumber")
        name = self.random.choice([*names, "back_up", "restore", "widen"])
        if name in ("back_up", "restore"):
            shutil.copy(
                *((self.file, self.backup) if name == "back_up" else (self.backup, self.file))
            )
            return
        with closing(sqlite3.connect(self.file, isolation_level=None)) as database:
            getattr(self, name)(database)

    def add(self, database: sqlite3.Connection) -> None:
        self.runs += 1
        state = self.random.choice(["FINISHED", "RUNNING"])
        row = (f"run{self.runs}", state)
        database.execute("INSERT INTO runs (run_uuid, status, experiment_id) VALUES (?, ?, 0)", row)
        self.tag(database)

    def tag(self, database: sqlite3.Connection) -> None:
        for run in self.one(database):
            row = (f"k{self.random.randrange(5)}", str(self.random.random()), run)
            database.execute(
                "INSERT OR REPLACE INTO tags (key, value, run_uuid) VALUES (?, ?, ?)", row
            )

    def one(self, database: sqlite3.Connection) -> list[str]:
        """A run, if there is any."""
        runs = [run for (run,) in database.execute("SELECT run_uuid FROM runs ORDER BY 1")]
        return self.random.sample(runs, min(len(runs), 1))

    def untag(self, database: sqlite3.Connection) -> None:
        database.execute("DELETE FROM tags WHERE rowid = (SELECT max(rowid) FROM tags)")

    def edit(self, database: sqlite3.Connection) -> None:
        edit = "UPDATE runs SET status = 'FINISHED', end_time = ? WHERE run_uuid = ?"
        for run in self.one(database):
            database.execute(edit, (self.random.randrange(3), run))

    def remove(self, database: sqlite3.Connection) -> None:
        for run in self.one(database):
            for table in ("tags", "runs"):
                database.execute(f"DELETE FROM {table} WHERE run_uuid = ?", (run,))

    def renumber(self, database: sqlite3.Connection) -> None:
        database.execute("VACUUM")

    def widen(self, database: sqlite3.Connection) -> None:
        database.execute(f"ALTER TABLE tags ADD COLUMN c{self.random.randrange(10**9)}")


def written(store: Path, known: dict[str, Any]) -> tuple[Any, ...]:
    """What a delta of a store says, and its blocks."""
    out = store.with_name("delta")
    delta.write(store, out, known)
    with closing(sqlite3.connect(out)) as database:
        entities = database.execute("SELECT * FROM entities").fetchall()
        gone = database.execute("SELECT * FROM gone").fetchall()
        (blocks,) = database.execute("SELECT value FROM meta WHERE key = 'blocks'").fetchone()
    return entities, gone, json.loads(blocks)


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_to_a_store_a_delta_says_the_same_without_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(row_blocks, "SIZE", 4)
    store = Store(tmp_path, seed)
    known: dict[str, Any] = {"format": delta.FORMAT, "signatures": {}, "blocks": {}}
    for _ in range(25):
        for _ in range(store.random.randrange(4)):
            store.change()
        entities, gone, blocks = written(store.file, known)
        assert (entities, gone) == written(store.file, {**known, "blocks": None})[:2]
        for kind, identity, signature in entities:
            known["signatures"].setdefault(kind, {})[str(identity)] = signature
        for kind, identity in gone:
            del known["signatures"][kind][identity]
        known["blocks"] = blocks
        # One that was refused here, or not yet brought, is asked for until it is here.
        known["signatures"].get("run", {}).pop(f"run{store.random.randrange(9)}", None)
