"""Deltas of other schemas; tests/real/test_minors.py has those of stores that MLflow wrote."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from remote.errors import StoreError
from remote.tracking import delta, migration
from remote.tracking.revisions import schema_of
from tests.stores import empty_store

KNOWN = schema_of(Path(), Path(sys.executable)).known
MOVES = KNOWN.index("75868b020152")


def sql(file: Path, *statements: str) -> None:
    with closing(sqlite3.connect(file)) as database, database:
        for statement in statements:
            database.execute(statement)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return empty_store(tmp_path / "it's 50%")


@pytest.fixture
def file(tmp_path: Path, store: Path) -> Path:
    """A delta of everything, from a store of the same schema."""
    delta.write(store, tmp_path / "delta.db", {})
    return tmp_path / "delta.db"


def said_at(file: Path, store: Path, revision: str) -> str:
    """What is said of a delta that says that it is of this revision."""
    sql(file, f"UPDATE meta SET value = '{json.dumps(revision)}' WHERE key = 'alembic'")
    return migration.fit(file, store, env=os.environ)


def test_one_of_the_same_schema_stays_as_it_is(file: Path, store: Path) -> None:
    before = file.read_bytes()
    assert migration.fit(file, store, env=os.environ) == ""
    assert file.read_bytes() == before


@pytest.mark.parametrize("revision", ["f00", "../../x", "'; --"])
def test_one_of_a_schema_that_is_not_known_is_named(file: Path, store: Path, revision: str) -> None:
    sql(file, "UPDATE meta SET value = '0' WHERE key = 'watermarks'")
    said = said_at(file, store, revision.replace("'", "''"))
    assert "doesn't know both" in said and "raise mlflow" in said
    assert revision in said


def test_one_of_a_newer_schema_says_how_the_store_gets_it(file: Path, store: Path) -> None:
    sql(store, f"UPDATE alembic_version SET version_num = '{KNOWN[MOVES]}'")
    assert f"mlflow db upgrade sqlite:///{store}" in said_at(file, store, KNOWN[-1])


def test_one_without_rows_is_not_migrated(file: Path, store: Path) -> None:
    sql(file, "DELETE FROM entities")
    before = KNOWN[MOVES - 1]
    sql(file, f"UPDATE meta SET value = '{json.dumps(before)}' WHERE key = 'alembic'")
    content = file.read_bytes()
    assert migration.fit(file, store, env=os.environ) == ""
    assert file.read_bytes() == content


def test_rows_that_mlflow_cannot_migrate_are_an_error_that_changes_nothing(
    file: Path, store: Path
) -> None:
    sql(
        file,
        "CREATE TABLE alembic_version AS SELECT 'f00' AS version_num",
        'CREATE TABLE "a ""strange"" name" (x)',
        "INSERT INTO spans (trace_id, span_id, experiment_id, status, start_time_unix_nano, content)"
        " VALUES ('tr-0', 's', 0, 'OK', 1, '')",
    )
    with pytest.raises(StoreError, match="can't be migrated: .*references missing trace_info"):
        said_at(file, store, KNOWN[MOVES - 1])
    assert [path.name for path in file.parent.glob(".migrated*")] == []
    sql(file, "DELETE FROM spans")
    assert said_at(file, store, KNOWN[MOVES - 1]) == ""
    with closing(sqlite3.connect(file)) as database:
        columns = {row[1] for row in database.execute("PRAGMA table_info(trace_info)")}
        assert "session_id" in columns
        assert database.execute("SELECT count(*) FROM entities").fetchone() == (1,)
