"""Whatever changes in a thing's rows changes its signature, and nothing of others does."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from remote.tracking import schema
from remote.tracking.signatures import signatures

RUN_TABLES = [schema.table_of(name) for name in ("runs", "params", "tags")]


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as made:
        made.execute("ATTACH ':memory:' AS store")
        made.execute("CREATE TABLE store.runs (run_uuid, name)")
        for table in ("params", "tags"):
            made.execute(f"CREATE TABLE store.{table} (key, value, run_uuid)")
            made.execute(f"INSERT INTO store.{table} VALUES ('a', 'b' || char(0) || 'c', 'r1')")
            made.execute(f"INSERT INTO store.{table} VALUES ('k', 1, 'r1'), ('k', 1, 'r2')")
        made.execute("INSERT INTO store.runs VALUES ('r1', 'n'), ('r2', 'n')")
        yield made


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE store.tags SET value = 'b' || char(0) || 'd' WHERE key = 'a'",
        "UPDATE store.tags SET key = 'ab', value = char(0) || 'c' WHERE key = 'a'",
        "UPDATE store.tags SET value = CAST(value AS BLOB) WHERE key = 'a'",
        "UPDATE store.tags SET value = '1' WHERE key = 'k' AND run_uuid = 'r1'",
        "UPDATE store.tags SET value = 1.0000000000000002 WHERE key = 'k' AND run_uuid = 'r1'",
        "UPDATE store.tags SET value = NULL WHERE key = 'k' AND run_uuid = 'r1'",
        "DELETE FROM store.tags WHERE key = 'a'",
        "INSERT INTO store.params SELECT * FROM store.tags WHERE key = 'a'",
        "UPDATE store.runs SET name = 'm' WHERE run_uuid = 'r1'",
    ],
)
def test_a_change_of_a_row_changes_the_signature_of_its_owner_alone(
    database: sqlite3.Connection, change: str
) -> None:
    before = signatures(database, RUN_TABLES)
    database.execute(change)
    after = signatures(database, RUN_TABLES)
    assert after["r1"] != before["r1"] and after["r2"] == before["r2"]


def test_rows_of_what_is_not_there_are_nobodys(database: sqlite3.Connection) -> None:
    database.execute("DELETE FROM store.runs WHERE run_uuid = 'r1'")
    assert set(signatures(database, RUN_TABLES)) == {"r2"}


def test_only_those_that_are_asked_for_are_signed(database: sqlite3.Connection) -> None:
    all_of_them = signatures(database, RUN_TABLES)
    assert signatures(database, RUN_TABLES, "SELECT 'r2'") == {"r2": all_of_them["r2"]}


def test_a_store_without_the_tables_of_a_kind_has_nothing_to_sign(
    database: sqlite3.Connection,
) -> None:
    assert signatures(database, []) == signatures(database, [], "SELECT 'r1'") == {}
