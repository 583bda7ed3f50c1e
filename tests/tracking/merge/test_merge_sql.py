"""The statements of a three-way merge, run on tables of a few rows."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import pytest

from remote.tracking import schema
from remote.tracking.merge import merge_sql
from remote.tracking.schema import Group, Table

RUN = "r1"
TAGS, RUNS = schema.table_of("tags"), schema.table_of("runs")
LATEST, TRACES = schema.table_of("latest_metrics"), schema.table_of("trace_info")

COLUMNS = {
    "runs": ("run_uuid", "name", "status", "end_time", "experiment_id", "artifact_uri"),
    "tags": ("key", "value", "run_uuid"),
    "latest_metrics": ("key", "value", "timestamp", "step", "is_nan", "run_uuid"),
    "trace_info": ("request_id", "status", "trace_timestamp_ms"),
}


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    """Empty tables of all sides, and a batch of one run."""
    with closing(sqlite3.connect(":memory:")) as made:
        made.execute("ATTACH ':memory:' AS base")
        for name, columns in COLUMNS.items():
            keyed = f"({', '.join(columns)}, PRIMARY KEY ({', '.join(schema.table_of(name).key)}))"
            for place in (f"main.{name}", f"base.{name}", merge_sql.staged(schema.table_of(name))):
                made.execute(f"CREATE TABLE {place} {keyed}")
        made.execute("CREATE TABLE temp.batch (id)")
        made.execute("INSERT INTO batch VALUES (?)", (RUN,))
        made.execute("CREATE TABLE base.entity (kind, id, signature)")
        yield made


def put(database: sqlite3.Connection, place: str, table: Table, row: Sequence[object]) -> None:
    target = merge_sql.staged(table) if place == "theirs" else f"{place}.{table.name}"
    marks = ", ".join("?" * len(row))
    database.execute(f"INSERT INTO {target} VALUES ({marks})", tuple(row))


def rows(database: sqlite3.Connection, table: Table, place: str = "main") -> list[Any]:
    return database.execute(f"SELECT * FROM {place}.{table.name} ORDER BY 1").fetchall()


def merged(database: sqlite3.Connection, table: Table) -> list[tuple[Any, ...]]:
    """Merge all that is staged; the conflicts: column, ours, theirs."""
    columns, three_way = COLUMNS[table.name], table.rule == schema.THREE_WAY
    conflicts = []
    for column, question in merge_sql.ask_conflicts(table, columns) if three_way else ():
        for *_, ours, theirs in database.execute(question).fetchall():
            conflicts.append((column, ours, theirs))
    rebase = merge_sql.rebase(table, columns) if three_way else ()
    insert = merge_sql.insert_new(table, columns)
    for statement in itertools.chain(merge_sql.take_theirs(table, columns), [insert], rebase):
        database.execute(statement)
    return conflicts


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "result", "conflict"),
    [
        ("a", "a", "a", "a", False),
        ("a", "a", "b", "b", False),
        ("a", "b", "a", "b", False),
        ("a", "b", "b", "b", False),
        ("a", "b", "c", "b", True),
        ("a", "a", None, None, False),
        ("a", "b", None, "b", True),
        ("a", None, "a", None, False),
        ("a", None, "b", None, False),
        ("a", None, None, None, False),
        (None, None, "b", "b", False),
        (None, "a", None, "a", False),
        (None, "a", "a", "a", False),
        (None, "a", "b", "a", True),
    ],
)
def test_what_changed_on_one_side_alone_is_taken(
    database: sqlite3.Connection,
    base: str | None,
    ours: str | None,
    theirs: str | None,
    result: str | None,
    conflict: bool,
) -> None:
    """None: there is no such row."""
    put(database, "main", RUNS, (RUN, "n", "FINISHED", 1, 1, "/a"))
    for place, value in (("base", base), ("main", ours), ("theirs", theirs)):
        if value is not None:
            put(database, place, TAGS, ("colour", value, RUN))
    assert merged(database, TAGS) == ([("value", ours, theirs)] if conflict else [])
    assert rows(database, TAGS) == ([] if result is None else [("colour", result, RUN)])
    # What is there now is what the next merge compares with.
    assert rows(database, TAGS, "base") == ([] if theirs is None else [("colour", theirs, RUN)])


def test_rows_of_things_that_are_not_in_the_batch_are_left_alone(
    database: sqlite3.Connection,
) -> None:
    for place in ("main", "base"):
        put(database, place, TAGS, ("colour", "red", "another"))
    assert merged(database, TAGS) == []
    assert rows(database, TAGS) == rows(database, TAGS, "base") == [("colour", "red", "another")]


def test_a_row_whose_owner_is_not_here_stays_away(database: sqlite3.Connection) -> None:
    put(database, "theirs", TAGS, ("colour", "red", RUN))
    put(database, "theirs", LATEST, ("loss", 1.0, 1, 1, 0, RUN))
    merged(database, TAGS)
    database.execute(merge_sql.take_later(LATEST, COLUMNS["latest_metrics"]))
    assert rows(database, TAGS) == rows(database, LATEST) == []


def run(status: str, end_time: int | None, name: str = "n") -> tuple[object, ...]:
    return (RUN, name, status, end_time, 1, "/here")


def test_columns_of_a_group_are_never_mixed(database: sqlite3.Connection) -> None:
    put(database, "base", RUNS, run("FINISHED", 1))
    put(database, "main", RUNS, run("FINISHED", 2))
    put(database, "theirs", RUNS, run("FAILED", 1, name="new"))
    assert merged(database, RUNS) == [("status", "FINISHED", "FAILED"), ("end_time", 2, 1)]
    assert rows(database, RUNS) == [run("FINISHED", 2, name="new")]


@pytest.mark.parametrize(
    ("ours", "result", "conflicts"),
    [
        (("RUNNING", None), ("FINISHED", 5), []),
        (("FAILED", 5), ("FAILED", 5), [("status", "FAILED", "FINISHED")]),
    ],
)
def test_only_a_provisional_value_gives_way_where_nothing_is_known_of_the_past(
    database: sqlite3.Connection,
    ours: tuple[str, int | None],
    result: tuple[str, int],
    conflicts: list[tuple[Any, ...]],
) -> None:
    put(database, "main", RUNS, run(*ours))
    put(database, "theirs", RUNS, run("FINISHED", 5))
    assert merged(database, RUNS) == conflicts
    assert rows(database, RUNS) == [run(*result)]


def test_the_place_of_a_row_is_never_merged(database: sqlite3.Connection) -> None:
    put(database, "base", RUNS, run("FINISHED", 1))
    put(database, "main", RUNS, run("FINISHED", 1))
    put(database, "theirs", RUNS, (RUN, "n", "FINISHED", 1, 7, "/there"))
    assert merged(database, RUNS) == []
    assert rows(database, RUNS) == [run("FINISHED", 1)]


def test_a_conflict_of_a_quiet_column_is_not_told(database: sqlite3.Connection) -> None:
    quiet = TAGS._replace(quiet=("value",), droppable=False)
    for place, value in (("base", "a"), ("main", "b"), ("theirs", "c")):
        put(database, place, quiet, ("colour", value, RUN))
    assert merged(database, quiet) == []
    assert rows(database, quiet) == [("colour", "b", RUN)]


@pytest.mark.parametrize("pulled_before", [False, True])
def test_what_only_programs_write_is_replaced_and_not_brought_back(
    database: sqlite3.Connection, pulled_before: bool
) -> None:
    put(database, "main", TRACES, ("t1", "IN_PROGRESS", 1))
    for identity in ("t1", "t2"):
        put(database, "theirs", TRACES, (identity, "OK", 2))
    if pulled_before:
        database.execute("INSERT INTO base.entity VALUES ('trace', 't2', 's'), ('run', 't1', 's')")
    merged(database, TRACES)
    new = [] if pulled_before else [("t2", "OK", 2)]
    assert rows(database, TRACES) == [("t1", "OK", 2), *new]


@pytest.mark.parametrize(
    ("ours", "theirs", "later"),
    [
        (None, (1, 1, 1.0), True),
        ((1, 9, 9.0), (2, 1, 1.0), True),
        ((1, 1, 9.0), (1, 2, 1.0), True),
        ((1, 1, 1.0), (1, 1, 2.0), True),
        ((1, 1, 1.0), (1, 1, 1.0), False),
        ((2, 1, 1.0), (1, 9, 9.0), False),
        ((1, 2, 1.0), (1, 1, 9.0), False),
    ],
)
def test_the_later_of_two_latest_metrics_is_taken(
    database: sqlite3.Connection,
    ours: tuple[int, int, float] | None,
    theirs: tuple[int, int, float],
    later: bool,
) -> None:
    """Step, timestamp and value."""
    put(database, "main", RUNS, run("RUNNING", None))
    for place, point in (("main", ours), ("theirs", theirs)):
        if point:
            step, timestamp, value = point
            put(database, place, LATEST, ("loss", value, timestamp, step, 0, RUN))
    changed = database.execute(merge_sql.take_later(LATEST, COLUMNS["latest_metrics"])).rowcount
    step, timestamp, value = theirs if later or ours is None else ours
    assert rows(database, LATEST) == [("loss", value, timestamp, step, 0, RUN)]
    assert changed == int(later)


def test_what_is_here_becomes_the_base_of_the_batch_alone(database: sqlite3.Connection) -> None:
    put(database, "base", TAGS, ("colour", "old", RUN))
    for owner in (RUN, "another"):
        put(database, "main", TAGS, ("colour", "red", owner))
    database.execute(merge_sql.agree(TAGS, COLUMNS["tags"]))
    assert rows(database, TAGS, "base") == [("colour", "red", RUN)]


def test_groups_are_cut_to_what_both_sides_have() -> None:
    columns = ("run_uuid", "end_time", "deleted_time", "name", "artifact_uri", "experiment_id")
    assert merge_sql.groups(RUNS, columns) == [
        Group(("end_time",), provisional="RUNNING"),
        Group(("deleted_time",)),
        Group(("name",)),
    ]


def test_the_value_of_a_tag_that_may_be_a_path_is_merged_as_any() -> None:
    tags = schema.table_of("trace_tags")
    assert merge_sql.value_columns(tags, ("key", "value", "request_id")) == ["value"]
